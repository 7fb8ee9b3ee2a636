package httpapi

import (
	"strconv"
	"strings"

	"millrace/domain/order"
	"millrace/ports/httpapi/contract"
)

// etag is strong: every change of an order has a version of its own.
func etag(o *order.Order) string { return `"` + strconv.Itoa(o.Snapshot().Version) + `"` }

// matches says whether If-None-Match names the tag (RFC 9110, section 13.1.2: by weak comparison).
func matches(header []string, tag string) bool {
	for _, line := range header {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func orderJSON(o *order.Order) contract.Order {
	s := summaryJSON(o)
	entries := o.Snapshot().Timeline
	timeline := make([]contract.TimelineEntry, len(entries))
	for i, e := range entries {
		timeline[i] = entryJSON(e)
	}
	return contract.Order{
		OrderId: s.OrderId, UserId: s.UserId, Status: s.Status, Items: s.Items, Currency: s.Currency, Total: s.Total,
		Reason: s.Reason, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, Version: s.Version,
		AllowedActions: s.AllowedActions, Timeline: timeline,
	}
}

func entryJSON(e order.Entry) contract.TimelineEntry {
	return contract.TimelineEntry{
		Seq: e.Seq, At: contract.Time(e.At), Event: e.Event,
		Status: contract.OrderStatus(e.Status.String()), EventId: e.EventID,
	}
}

// reasonJSON is null for an order that has none.
func reasonJSON(reason string) *string {
	if reason == "" {
		return nil
	}
	return &reason
}

func summaryJSON(o *order.Order) contract.OrderSummary {
	s := o.Snapshot()
	items := make([]contract.OrderItem, len(s.Items))
	for i, item := range s.Items {
		items[i] = contract.OrderItem{Sku: string(item.SKU), Qty: item.Qty, Price: item.Price}
	}
	allowed := o.AllowedActions()
	actions := make([]contract.OrderAction, len(allowed))
	for i, a := range allowed {
		actions[i] = contract.OrderAction(a)
	}
	return contract.OrderSummary{
		OrderId: string(s.ID), UserId: string(s.UserID), Status: contract.OrderStatus(s.Status.String()), Items: items,
		Currency: s.Total.Currency.String(), Total: s.Total.Minor, Reason: reasonJSON(s.Reason),
		CreatedAt: contract.Time(s.CreatedAt), UpdatedAt: contract.Time(s.UpdatedAt),
		Version: s.Version, AllowedActions: actions,
	}
}

func pageJSON(page []*order.Order, more bool) contract.OrderPage {
	p := contract.OrderPage{Items: make([]contract.OrderSummary, len(page))}
	for i, o := range page {
		p.Items[i] = summaryJSON(o)
	}
	if more && len(page) > 0 {
		cursor := cursorAfter(page[len(page)-1].ID())
		p.NextCursor = &cursor
	}
	return p
}
