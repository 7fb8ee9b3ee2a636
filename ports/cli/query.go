package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/app/audit"
	"millrace/app/deadletters"
	"millrace/app/messages"
	"millrace/domain/order"
	saga "millrace/sagas/order"
)

// What the queries of sagas, of dead letters and of operators' acts are made of, for help texts and errors.
const (
	queryWords  = "order, status, state, reason, user, sku, version, since, until, older, stuck"
	letterWords = "id, state, service, handler, reason, order, type, since, until, older"
	actWords    = "order, act, actor, plan, since, until"
)

// eachWord hands words of key=value to take, which fails with what the value should be. A query's words must
// all hold, so each key may stand there once.
func eachWord(words []string, keys string, take func(key, value string) error) error {
	given := map[string]bool{}
	for _, w := range strings.Fields(strings.Join(words, " ")) {
		key, value, ok := strings.Cut(w, "=")
		switch {
		case !ok || value == "":
			return fmt.Errorf("query: %q is not key=value with a key of %s", w, keys)
		case !slices.Contains(strings.Split(keys, ", "), key):
			return fmt.Errorf("query: there is no %q: the keys are %s", key, keys)
		case given[key]:
			return fmt.Errorf("query: %s stands there twice: all words must hold, so give it once", key)
		}
		given[key] = true
		if err := take(key, value); err != nil {
			return fmt.Errorf("query: %s: %w", w, err)
		}
	}
	return nil
}

// parseQuery reads which sagas are meant; no words choose every one.
func parseQuery(words []string, now time.Time) (audit.Query, error) {
	var q audit.Query
	err := eachWord(words, queryWords, func(key, value string) (err error) {
		switch key {
		case "order":
			q.Orders, err = orderIDs(value)
		case "status":
			q.Status = strings.ToUpper(value)
			if _, bad := order.ParseStatus(q.Status); bad != nil {
				err = oneOf(names(order.Statuses))
			}
		case "state":
			q.State = strings.ToLower(value)
			if _, bad := saga.ParseStep(q.State); bad != nil {
				err = oneOf(names(saga.Steps))
			}
		case "reason":
			q.Reason = value
		case "user":
			q.User = value
		case "sku":
			q.SKU = value
		case "version":
			if q.Version, err = strconv.Atoi(value); err != nil || q.Version < 1 {
				err = fmt.Errorf("it is the number of a saga definition, such as %d", saga.Version)
			}
		case "since":
			q.Since, err = timeOrAge(value, now)
		case "until":
			q.Until, err = timeOrAge(value, now)
		case "older":
			if q.Older, err = time.ParseDuration(value); err != nil || q.Older <= 0 {
				err = errors.New("it is an age such as 90s, 15m or 2h")
			}
		case "stuck":
			if q.Stuck = value == "true"; !q.Stuck {
				err = errors.New("only stuck=true chooses something")
			}
		}
		return err
	})
	return q, err
}

// parseLetters reads which dead letters are meant. Ages and times are those of the last attempt.
func parseLetters(words []string, now time.Time) (deadletters.Filter, error) {
	var f deadletters.Filter
	err := eachWord(words, letterWords, func(key, value string) (err error) {
		switch key {
		case "id":
			f.ID = value
		case "state":
			if f.State = value; !slices.Contains(deadletters.States, value) {
				err = oneOf(deadletters.States)
			}
		case "service":
			if f.Service = value; !slices.Contains(messages.Consumers, value) {
				err = oneOf(messages.Consumers)
			}
		case "handler":
			f.Handler = value
		case "reason":
			f.Reason = value
		case "order":
			f.OrderID = value
		case "type":
			f.Type = value
		case "since":
			f.Since, err = timeOrAge(value, now)
		case "until", "older":
			var until time.Time
			if until, err = timeOrAge(value, now); f.Until.IsZero() || until.Before(f.Until) {
				f.Until = until
			}
		}
		return err
	})
	return f, err
}

// parseActs reads which acts of operators are meant.
func parseActs(words []string, now time.Time) (audit.RecordFilter, error) {
	var f audit.RecordFilter
	err := eachWord(words, actWords, func(key, value string) (err error) {
		switch key {
		case "order":
			f.OrderID = value
		case "act":
			f.Act = value
		case "actor":
			f.Actor = value
		case "plan":
			f.Plan = value
		case "since":
			f.Since, err = timeOrAge(value, now)
		case "until":
			f.Until, err = timeOrAge(value, now)
		}
		return err
	})
	return f, err
}

// words puts a query of dead letters back together, sorted, so that equal ones read the same.
func words(args []string) string {
	all := strings.Fields(strings.Join(args, " "))
	slices.Sort(all)
	return cmp.Or(strings.Join(all, " "), "all that wait")
}

func orderIDs(value string) ([]string, error) {
	all := strings.Split(value, ",")
	for _, id := range all {
		if _, err := order.ParseID(id); err != nil {
			return nil, errors.New("it is the id of an order, or several with commas between them")
		}
	}
	return all, nil
}

// timeOrAge reads a time (RFC 3339), or an age such as 15m.
func timeOrAge(value string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(value); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return at, errors.New("it is a time such as 2026-01-02T15:04:05Z or an age such as 15m")
	}
	return at, nil
}

func oneOf(words []string) error { return errors.New("it is one of " + strings.Join(words, ", ")) }

func names[T fmt.Stringer](all []T) []string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = one.String()
	}
	return words
}
