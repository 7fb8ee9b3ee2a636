package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// Opener opens a part of the stored state for one verb, and gives what closes it; never nil where it succeeds.
type Opener[T any] func(ctx context.Context, where Where, access Access) (T, func() error, error)

// Access says what a verb is going to do with what it opens.
type Access bool

// A verb that reads works beside a state that nobody may write to.
const (
	ToRead   Access = false
	ToChange Access = true
)

// with lets do use what open opens, and closes it however that ends.
func with[T any](c *cobra.Command, open Opener[T], where Where, access Access, do func(T) error) (err error) {
	if open == nil {
		return missing(c)
	}
	opened, closeIt, err := open(c.Context(), where, access)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeIt()) }() // also when do panics
	return do(opened)
}
