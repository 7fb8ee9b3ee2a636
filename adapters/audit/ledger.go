package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"millrace/adapters/psp/simulator"
	"millrace/domain/fault"
)

// Movement is one movement of money at the payment provider.
type Movement struct {
	Refund   bool // given back; otherwise taken
	OrderID  string
	Amount   int64 // minor units
	Currency string
}

// Ledger calls each for every movement that the payment provider knows, in any order.
type Ledger func(ctx context.Context, each func(Movement)) error

// ErrLedger: what the provider says about the money could not be read.
var ErrLedger = fault.New(fault.Unavailable, "ledger_unavailable", "the payment provider's ledger cannot be read")

// account is what the provider took and gave back for one order.
type account struct {
	captured, refunded int64
	captures, refunds  int
	currency           string
}

func (l Ledger) accounts(ctx context.Context) (map[string]account, error) {
	all := map[string]account{}
	err := l(ctx, func(m Movement) {
		a := all[m.OrderID]
		a.currency = m.Currency
		if m.Refund {
			a.refunded, a.refunds = a.refunded+m.Amount, a.refunds+1
		} else {
			a.captured, a.captures = a.captured+m.Amount, a.captures+1
		}
		all[m.OrderID] = a
	})
	return all, err
}

// LedgerOnDisk reads the ledger of the provider simulator from its folder, beside one that may be
// running on it.
func LedgerOnDisk(dir string, now func() time.Time) Ledger {
	return func(_ context.Context, each func(Movement)) error {
		l, err := simulator.ReadLedger(dir, now())
		if err != nil {
			return ErrLedger.Because(err)
		}
		for _, e := range l.Captures {
			each(Movement{OrderID: e.OrderID, Amount: e.Amount, Currency: e.Currency})
		}
		for _, e := range l.Refunds {
			each(Movement{Refund: true, OrderID: e.OrderID, Amount: e.Amount, Currency: e.Currency})
		}
		return nil
	}
}

// LedgerOverHTTP asks the provider at baseURL, and holds one movement at a time. When that fails, the error
// says which address was asked.
func LedgerOverHTTP(client *http.Client, baseURL string) Ledger {
	return func(ctx context.Context, each func(Movement)) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(baseURL, "/")+"/v1/ledger", nil)
		if err != nil {
			return ErrLedger.Because(err)
		}
		if err := ask(client, request, each); err != nil {
			return ErrLedger.Because(fmt.Errorf("%s: %w: set PSP_URL to where the provider is", request.URL.Redacted(), err))
		}
		return nil
	}
}

func ask(client *http.Client, request *http.Request, each func(Movement)) error {
	answer, err := client.Do(request)
	var failed *url.Error // it repeats the address
	if errors.As(err, &failed) {
		return failed.Err
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return movements(json.NewDecoder(answer.Body), each)
}

// movements reads {"captures":[…],"refunds":[…]}.
func movements(in *json.Decoder, each func(Movement)) error {
	if err := expect(in, json.Delim('{')); err != nil {
		return err
	}
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return err
		}
		if name != "captures" && name != "refunds" {
			return fmt.Errorf("unknown member %v", name)
		}
		if err := expect(in, json.Delim('[')); err != nil {
			return err
		}
		for in.More() {
			var e simulator.Entry
			if err := in.Decode(&e); err != nil {
				return err
			}
			each(Movement{Refund: name == "refunds", OrderID: e.OrderID, Amount: e.Amount, Currency: e.Currency})
		}
		if err := expect(in, json.Delim(']')); err != nil {
			return err
		}
	}
	return expect(in, json.Delim('}'))
}

func expect(in *json.Decoder, want json.Delim) error {
	got, err := in.Token()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("not a ledger: %v where %v should stand", got, want)
	}
	return nil
}
