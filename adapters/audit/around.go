package audit

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"millrace/app/audit"
)

// archived gives what the retention has put away of a journal, nil when it is all there.
func archived(tx *snapshot, orderID string) (*audit.Archived, error) {
	found, err := rows[struct {
		Entries int       `db:"entries"`
		Hash    string    `db:"hash"`
		File    string    `db:"file"`
		At      time.Time `db:"archived_at"`
	}](tx, "SELECT entries, hash, file, archived_at FROM saga_archives WHERE order_id = ?", orderID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	f := found[0]
	return &audit.Archived{Entries: f.Entries, Hash: f.Hash, File: f.File, At: f.At.UTC()}, nil
}

// traces gives the traces that the messages of a journal belong to, in their order. They stand in the
// headers of what ordering has sent, and go with the outbox's rows.
func traces(tx *snapshot, journal []audit.Entry) ([]string, error) {
	var ids []any
	for _, e := range journal {
		ids = append(ids, e.MessageID)
		for _, m := range e.Sent {
			ids = append(ids, m.ID)
		}
	}
	all := []string{}
	if len(ids) == 0 {
		return all, nil
	}
	texts, err := rows[string](tx, "SELECT headers FROM outbox WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+") ORDER BY seq", ids...)
	if err != nil {
		return nil, err
	}
	for _, text := range texts {
		var headers struct {
			TraceID string `json:"traceId"`
		}
		if json.Unmarshal([]byte(text), &headers) == nil && headers.TraceID != "" && !slices.Contains(all, headers.TraceID) {
			all = append(all, headers.TraceID)
		}
	}
	return all, nil
}

// letters gives the dead letters of an order at every service, the oldest first. The participants'
// databases are read a moment later than ordering's.
func (s *Sagas) letters(ctx context.Context, ordering *snapshot, orderID string) ([]audit.Letter, error) {
	all, err := lettersOf(ordering, orderID)
	if err != nil {
		return nil, err
	}
	for _, db := range s.others {
		tx, err := open(ctx, db)
		if err != nil {
			return nil, err
		}
		more, err := lettersOf(tx, orderID)
		tx.close()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	slices.SortStableFunc(all, func(x, y audit.Letter) int { return x.At.Compare(y.At) })
	return all, nil
}

func lettersOf(tx *snapshot, orderID string) ([]audit.Letter, error) {
	found, err := rows[struct {
		ID      string    `db:"id"`
		Service string    `db:"service"`
		Handler string    `db:"handler"`
		Type    string    `db:"type"`
		Reason  string    `db:"reason"`
		State   string    `db:"state"`
		At      time.Time `db:"last_at"`
	}](tx, "SELECT id, service, handler, type, reason, state, last_at FROM dead_letters WHERE order_id = ? ORDER BY position, last_at", orderID)
	if err != nil {
		return nil, err
	}
	all := make([]audit.Letter, len(found))
	for i, f := range found {
		all[i] = audit.Letter{ID: f.ID, Service: f.Service, Handler: f.Handler, Type: f.Type, Reason: f.Reason, State: f.State, At: f.At.UTC()}
	}
	return all, nil
}
