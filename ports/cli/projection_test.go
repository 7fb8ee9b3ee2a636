package cli_test

import (
	"context"
	"errors"
	"fmt"

	"millrace/app/analytics"
	"millrace/ports/cli"
)

// fakeModels are read models whose state is said by the folder that they lie in.
type fakeModels struct {
	folder string
	access cli.Access
}

func (f fakeModels) Status(context.Context) ([]analytics.Status, error) {
	if f.access != cli.ToRead {
		return nil, errors.New("it was opened to be changed")
	}
	return []analytics.Status{
		{Model: analytics.OrdersByUser, Orders: 40, Generation: 1},
		{Model: analytics.DailySales, Orders: 38, Behind: 2, Generation: 3, RebuiltAt: &today},
	}, nil
}

func (f fakeModels) Sales(_ context.Context, since string) ([]analytics.SalesDay, error) {
	if f.access != cli.ToRead {
		return nil, errors.New("it was opened to be changed")
	}
	days := []analytics.SalesDay{
		{Day: "2026-01-02", Currency: "LKR", Confirmed: 3, Revenue: 7200, Failed: 1}, {Day: "2026-01-01", Currency: "LKR", Cancelled: 2},
	}
	if since > "2026-01-01" {
		return days[:1], nil
	}
	return days, nil
}

func (f fakeModels) Rebuild(_ context.Context, model string, o cli.RebuildOptions) (analytics.Rebuilt, error) {
	nothing := analytics.Found{First: []string{}}
	r := analytics.Rebuilt{
		Model: model, Orders: 40, Open: 1, Entries: 120, Compared: 39, Live: "00ab", Rebuilt: "00ab", Identical: true,
		Missing: nothing, Extra: nothing, Different: nothing, Exchanged: !o.OnlyCompare, Generation: 2, Seconds: 0.5,
	}
	for _, p := range []analytics.Progress{{Step: analytics.Prepare}, {Step: analytics.Fill, Done: 20, Total: 40}, {Step: analytics.Exchange}} {
		if err := o.Watch(p); err != nil {
			return r, err
		}
	}
	if o.Archived != nil {
		for _, err := range o.Archived {
			if err != nil {
				return r, err
			}
			r.Orders++
		}
	}
	switch {
	case f.access == cli.ToRead:
		return r, errors.New("it was opened to be read")
	case f.folder == "damaged":
		return r, fmt.Errorf("fill: %w", analytics.ErrHistory.Because(errors.New("1 orders, such as ord_1")))
	case f.folder == "busy", f.folder == "half" && model == analytics.DailySales:
		return r, analytics.ErrRebuilding.Because(errors.New("wait until that has ended"))
	case f.folder == "away":
		return r, errors.New("the database is not reachable")
	case f.folder == "wrong":
		r.Identical, r.Live, r.Missing, r.Different = false, "0001", analytics.Found{N: 7, First: []string{"ord_1", "ord_2"}}, analytics.Found{N: 1, First: []string{"ord_3"}}
	}
	return r, nil
}
