package httpapi

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	ordering "millrace/app/order"
	"millrace/domain/order"
)

// readFilter reads the query of a list and gives everything that is wrong with it. An empty
// parameter counts as not given.
func readFilter(query string) (ordering.Filter, error) {
	var r reading
	values, err := url.ParseQuery(query)
	if err != nil {
		r.refuse("malformed_query", "", "the query string cannot be read: %v", err)
		return ordering.Filter{}, errors.Join(r.wrong...)
	}
	f := ordering.Filter{Limit: ordering.DefaultPage}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // the same mistakes in the same order
	for _, name := range names {
		given := slices.DeleteFunc(values[name], func(s string) bool { return s == "" })
		if len(given) > 1 {
			r.refuse("duplicate_parameter", name, "%.64q was given more than once", name)
			continue
		}
		text := ""
		if len(given) == 1 {
			text = given[0]
		}
		r.parameter(&f, name, text)
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		r.refuse("invalid_range", "to", "to must be later than from")
	}
	return f, errors.Join(r.wrong...)
}

func (r *reading) parameter(f *ordering.Filter, name, text string) {
	var err error
	switch name {
	case "status", "userId", "from", "to", "limit", "cursor":
		if text == "" {
			return
		}
	}
	switch name {
	case "status":
		if f.Status, err = order.ParseStatus(text); err != nil {
			r.refuse("invalid_status", name, "status must be one of %v", order.Statuses)
		}
	case "userId":
		if _, err = order.ParseUserID(text); err != nil {
			r.refuse("invalid_user_id", name, "userId must be 1 to 64 letters, digits, _ or -")
		}
		f.UserID = text
	case "from":
		f.From = r.moment(name, text)
	case "to":
		f.To = r.moment(name, text)
	case "limit":
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > ordering.MaxPage {
			r.refuse("invalid_limit", name, "limit must be a whole number from 1 to %d", ordering.MaxPage)
		}
	case "cursor":
		if f.Before, err = parseCursor(text); err != nil {
			r.refuse("invalid_cursor", name, "the cursor must be the nextCursor of the page before")
		}
	default:
		r.refuse("unknown_parameter", name, "%.64q is not a parameter of this list", name)
	}
}

func (r *reading) moment(name, text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		r.refuse("invalid_time", name, "%s must be a time such as 2026-01-02T15:04:05Z", name)
	}
	return at.UTC()
}

// cursorAfter is the place behind an order. It is opaque, so that it can become something else.
func cursorAfter(id order.ID) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func parseCursor(s string) (order.ID, error) {
	id, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return "", err
	}
	return order.ParseID(string(id))
}
