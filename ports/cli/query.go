package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"millrace/app/audit"
	"millrace/domain/order"
	saga "millrace/sagas/order"
)

// queryWords is what a query is made of, for help texts and errors.
const queryWords = "order, status, state, reason, user, sku, version, since, until, older, stuck"

// parseQuery reads words of key=value that must all hold; no words choose every saga. Times are
// RFC 3339, or an age such as 15m.
func parseQuery(words []string, now time.Time) (audit.Query, error) {
	var q audit.Query
	given := map[string]bool{}
	for _, w := range strings.Fields(strings.Join(words, " ")) {
		key, value, ok := strings.Cut(w, "=")
		if !ok || value == "" {
			return q, fmt.Errorf("query: %q is not key=value with a key of %s", w, queryWords)
		}
		if given[key] {
			return q, fmt.Errorf("query: %s stands there twice: all words must hold, so give it once", key)
		}
		given[key] = true
		if err := restrict(&q, key, value, now); err != nil {
			return q, err
		}
	}
	return q, nil
}

func restrict(q *audit.Query, key, value string, now time.Time) error {
	var err error
	switch key {
	case "order":
		q.Orders = strings.Split(value, ",")
		for _, id := range q.Orders {
			if _, bad := order.ParseID(id); bad != nil {
				err = fmt.Errorf("query: order=%s: it is the id of an order, or several with commas between them", value)
			}
		}
	case "status":
		q.Status = strings.ToUpper(value)
		if _, bad := order.ParseStatus(q.Status); bad != nil {
			err = fmt.Errorf("query: status=%s: it is one of %s", value, names(order.Statuses))
		}
	case "state":
		q.State = strings.ToLower(value)
		if _, bad := saga.ParseStep(q.State); bad != nil {
			err = fmt.Errorf("query: state=%s: it is one of %s", value, names(saga.Steps))
		}
	case "reason":
		q.Reason = value
	case "user":
		q.User = value
	case "sku":
		q.SKU = value
	case "version":
		if q.Version, err = strconv.Atoi(value); err != nil || q.Version < 1 {
			err = fmt.Errorf("query: version=%s: it is the number of a saga definition, such as %d", value, saga.Version)
		}
	case "since":
		q.Since, err = timeOrAge(key, value, now)
	case "until":
		q.Until, err = timeOrAge(key, value, now)
	case "older":
		if q.Older, err = time.ParseDuration(value); err != nil || q.Older <= 0 {
			err = fmt.Errorf("query: older=%s: it is an age such as 90s, 15m or 2h", value)
		}
	case "stuck":
		if value != "true" {
			return fmt.Errorf("query: stuck=%s: only stuck=true chooses something", value)
		}
		q.Stuck = true
	default:
		err = fmt.Errorf("query: there is no %q: the keys are %s", key, queryWords)
	}
	return err
}

func timeOrAge(key, value string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(value); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return at, fmt.Errorf("query: %s=%s: it is a time such as 2026-01-02T15:04:05Z or an age such as 15m", key, value)
	}
	return at, nil
}

func names[T fmt.Stringer](all []T) string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = one.String()
	}
	return strings.Join(words, ", ")
}
