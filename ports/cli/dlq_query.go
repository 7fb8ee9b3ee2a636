package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/app/deadletters"
	"millrace/app/messages"
)

// letterWords is what a filter of dead letters is made of, for help texts and errors.
const letterWords = "id, state, service, handler, reason, order, type, since, until, older"

// parseLetters reads words of key=value that must all hold, as parseQuery does. Ages and times are
// those of the last attempt.
func parseLetters(words []string, now time.Time) (deadletters.Filter, error) {
	var f deadletters.Filter
	given := map[string]bool{}
	for _, w := range strings.Fields(strings.Join(words, " ")) {
		key, value, ok := strings.Cut(w, "=")
		if !ok || value == "" {
			return f, fmt.Errorf("filter: %q is not key=value with a key of %s", w, letterWords)
		}
		if given[key] {
			return f, fmt.Errorf("filter: %s stands there twice: all words must hold, so give it once", key)
		}
		given[key] = true
		if err := choose(&f, key, value, now); err != nil {
			return f, err
		}
	}
	return f, nil
}

func choose(f *deadletters.Filter, key, value string, now time.Time) error {
	var err error
	switch key {
	case "id":
		f.ID = value
	case "state":
		if f.State = value; !slices.Contains(deadletters.States, value) {
			err = fmt.Errorf("filter: state=%s: it is one of %s", value, strings.Join(deadletters.States, ", "))
		}
	case "service":
		if f.Service = value; !slices.Contains(messages.Consumers, value) {
			err = fmt.Errorf("filter: service=%s: it is one of %s", value, strings.Join(messages.Consumers, ", "))
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
		f.Since, err = timeOrAge(key, value, now)
	case "until", "older":
		var until time.Time
		if until, err = timeOrAge(key, value, now); f.Until.IsZero() || until.Before(f.Until) {
			f.Until = until
		}
	default:
		err = fmt.Errorf("filter: there is no %q: the keys are %s", key, letterWords)
	}
	if err != nil {
		return fmt.Errorf("filter: %s", strings.TrimPrefix(strings.TrimPrefix(err.Error(), "filter: "), "query: "))
	}
	return nil
}

// words puts a filter back together, sorted, so that equal filters read the same.
func words(args []string) string {
	all := strings.Fields(strings.Join(args, " "))
	slices.Sort(all)
	return cmp.Or(strings.Join(all, " "), "all that wait")
}
