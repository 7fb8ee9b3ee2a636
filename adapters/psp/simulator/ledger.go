package simulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Entry is one movement of money.
type Entry struct {
	Key      string    `json:"key"`
	OrderID  string    `json:"orderId"`
	Amount   int64     `json:"amount"` // minor units
	Currency string    `json:"currency"`
	At       time.Time `json:"at"`
}

// Ledger is the outside truth: all money that was taken and all that was given back, oldest
// first by when it was asked for. What is still pending is not in it.
type Ledger struct {
	Captures []Entry `json:"captures"`
	Refunds  []Entry `json:"refunds"`
}

// Ledger gives the movements up to this moment, all of them on disk.
func (s *Simulator) Ledger() (Ledger, error) {
	l := Ledger{Captures: []Entry{}, Refunds: []Entry{}}
	err := s.eachMovement(
		func(e Entry) error { l.Captures = append(l.Captures, e); return nil },
		func(e Entry) error { l.Refunds = append(l.Refunds, e); return nil },
	)
	return l, err
}

// WriteLedger writes the ledger as JSON without holding it in memory.
func (s *Simulator) WriteLedger(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16)
	lines := json.NewEncoder(out)
	put := func() func(Entry) error {
		var several bool
		return func(e Entry) error {
			if several {
				if err := out.WriteByte(','); err != nil {
					return err
				}
			}
			several = true
			return lines.Encode(e)
		}
	}
	refund := put()
	var refunds bool
	open := func() error {
		if refunds {
			return nil
		}
		refunds = true
		_, err := out.WriteString(`],"refunds":[`)
		return err
	}
	if _, err := out.WriteString(`{"captures":[`); err != nil {
		return err
	}
	err := s.eachMovement(put(), func(e Entry) error { return errors.Join(open(), refund(e)) })
	if err = errors.Join(err, open()); err != nil {
		return err
	}
	if _, err := out.WriteString("]}\n"); err != nil {
		return err
	}
	return out.Flush()
}

// eachMovement calls the functions for one moment's captures, then for its refunds. Work goes on
// meanwhile: both lists only grow, and what is in them stays as it is.
func (s *Simulator) eachMovement(captured, refunded func(Entry) error) error {
	s.mu.Lock()
	now, captures, refunds := s.now(), len(s.book.captures), len(s.book.refunds)
	s.mu.Unlock()
	if err := s.settled(); err != nil {
		return err
	}
	for i := range captures {
		s.mu.Lock()
		c := s.book.captures[i]
		s.mu.Unlock()
		if !c.captured(now) {
			continue
		}
		if err := captured(c.entry()); err != nil {
			return err
		}
	}
	for i := range refunds {
		s.mu.Lock()
		r := s.book.refunds[i]
		c := s.book.captures[r.capture]
		s.mu.Unlock()
		if err := refunded(r.entry(c)); err != nil {
			return err
		}
	}
	return nil
}

func (c capture) entry() Entry {
	return Entry{Key: c.key, OrderID: c.orderID, Amount: c.amount, Currency: c.currency.Value(), At: moment(c.due)}
}

func (r refund) entry(c capture) Entry {
	return Entry{Key: r.key, OrderID: c.orderID, Amount: r.amount, Currency: c.currency.Value(), At: moment(r.at)}
}

// ReadLedger reads the ledger from the state in dir as it is at the moment now, without changing
// anything: a simulator may be running on it. A folder without state has an empty ledger.
func ReadLedger(dir string, now time.Time) (Ledger, error) {
	s := &Simulator{opts: Options{Now: func() time.Time { return now }}.withDefaults(), book: newBook()}
	f, err := os.Open(filepath.Join(dir, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s.Ledger()
	}
	if err != nil {
		return Ledger{}, fmt.Errorf("payment provider's ledger: %w", err)
	}
	defer f.Close() // nothing was written
	if _, err := readJournal(f, s.book.apply); err != nil {
		return Ledger{}, fmt.Errorf("payment provider's ledger: %s: %w", f.Name(), err)
	}
	return s.Ledger()
}
