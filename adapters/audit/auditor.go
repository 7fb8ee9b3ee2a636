// Package audit reads what the services have written and says whether it fits together: the
// invariants of `millrace verify`, and the sagas with their journals. It reads the tables of all
// services, which nobody else may, and for that it only reads: nothing that writes, publishes or
// calls a service may be in this package. (What operators have done is another audit: those who do it write
// it down, in sqlstore, with what they do.)
package audit

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"millrace/adapters/sqldb"
	"millrace/app/audit"
)

// Databases are those of the four contexts. Connections that can only read will do.
type Databases struct {
	Ordering, Payments, Inventory, Notifications *sqldb.DB
}

// Config is what an Auditor needs. Only Databases must be given. Without a Ledger nothing is said
// about the provider: the report calls books_match_provider unchecked, for the reason in NoLedger, and the
// other invariants of money go by our own books.
type Config struct {
	Databases
	Ledger          Ledger        // the payment provider's
	NoLedger        string        // why there is none, where there is none
	OutboxRetention time.Duration // for how long published rows are kept; 7 days
	InboxRetention  time.Duration // for how long handled messages are remembered; 14 days
	Patience        time.Duration // for how long a suspect is looked at again; 10 s
	Now             func() time.Time
	Pause           func(context.Context, time.Duration) error // between two looks
}

// Auditor checks the invariants.
type Auditor struct{ Config }

// New makes an auditor.
func New(c Config) *Auditor {
	c.OutboxRetention = cmp.Or(c.OutboxRetention, 7*24*time.Hour)
	c.InboxRetention = cmp.Or(c.InboxRetention, 14*24*time.Hour)
	c.Patience = cmp.Or(c.Patience, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pause == nil {
		c.Pause = pause
	}
	c.NoLedger = cmp.Or(c.NoLedger, "there is no ledger of the payment provider to compare with")
	if c.Ledger != nil {
		c.NoLedger = ""
	}
	return &Auditor{c}
}

// Verify checks every invariant; settled adds those that hold only when nothing is under way. It
// works beside running services. The databases cannot be read at one moment, so what two of them
// disagree about is only a suspect: it is looked at again until it is gone, or Patience is over.
// What one database says in one snapshot is final at once.
//
// An error means that the check could not be made, and says nothing about the invariants.
func (a *Auditor) Verify(ctx context.Context, settled bool) (audit.Report, error) {
	if err := a.ready(ctx); err != nil {
		return audit.Report{}, err
	}
	var earlier findings
	var deadline time.Time
	for wait := a.Patience / 40; ; wait *= 2 {
		found, err := a.look(ctx, settled, earlier)
		if err != nil {
			return audit.Report{}, err
		}
		now := a.Now()
		if deadline.IsZero() {
			deadline = now.Add(a.Patience)
		}
		if !found.suspicious() || !now.Before(deadline) {
			return found.report(), nil
		}
		if err := a.Pause(ctx, min(wait, deadline.Sub(now))); err != nil {
			return audit.Report{}, err
		}
		earlier = found
	}
}

// ready fails with the command that mends it when a schema has another version than this build.
func (a *Auditor) ready(ctx context.Context) error {
	for schema, db := range map[string]*sqldb.DB{
		"orders": a.Ordering, "payments": a.Payments, "inventory": a.Inventory, "notifications": a.Notifications,
	} {
		if err := sqldb.Check(ctx, db, schema); err != nil {
			return err
		}
	}
	return nil
}

// look checks everything once, on one snapshot of each database.
func (a *Auditor) look(ctx context.Context, settled bool, earlier findings) (findings, error) {
	p := &pass{
		found: newFindings(settled, a.NoLedger, earlier), settled: settled,
		outboxSince: since(a.Now(), a.OutboxRetention), inboxSince: since(a.Now(), a.InboxRetention),
	}
	// Ordering first: an order that has ended there has ended everywhere else.
	for _, s := range []struct {
		db *sqldb.DB
		to **snapshot
	}{{a.Ordering, &p.ordering}, {a.Ordering, &p.telling}, {a.Payments, &p.payments}, {a.Inventory, &p.inventory}, {a.Notifications, &p.notifications}} {
		snap, err := open(ctx, s.db)
		if err != nil {
			return p.found, err
		}
		defer snap.close()
		*s.to = snap
	}
	if a.Ledger != nil {
		var err error
		if p.accounts, err = a.Ledger.accounts(ctx); err != nil {
			return p.found, err
		}
		if err := p.paidOutside(); err != nil {
			return p.found, err
		}
	}
	var group errgroup.Group // whoever reads one database alone does so beside the others
	group.Go(func() error {
		return all(p.terminal, p.timelines, p.outboxOfOrdering, p.accepted, p.unclaimed,
			func() error { return p.inboxes(p.ordering) })
	})
	group.Go(p.journals) // as much as all the rest of ordering
	group.Go(func() error {
		return all(p.stock, p.money, p.outboxOfParticipants,
			func() error { return p.inboxes(p.payments, p.inventory, p.notifications) })
	})
	if err := group.Wait(); err != nil {
		return p.found, err
	}
	return p.found, all(p.pending, p.orders)
}

// since is from when on rows must be there. It stays clear of the end of the retention, where a
// purge may be at work.
func since(now time.Time, retention time.Duration) time.Time {
	return now.Add(-retention + retention/20).UTC()
}

// all runs checks one after the other until one cannot be made.
func all(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// pass is one look: the snapshots, and what was found in them.
type pass struct {
	ordering, payments, inventory, notifications *snapshot
	telling                                      *snapshot          // of ordering too, for the journals alone
	accounts                                     map[string]account // nil without a ledger
	found                                        findings
	settled                                      bool
	outboxSince, inboxSince                      time.Time // what is older may have been deleted
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
