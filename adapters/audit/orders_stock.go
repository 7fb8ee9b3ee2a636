package audit

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"millrace/app/audit"
)

// stockOf: what was sold is set aside, what was not sold is free.
func (p *pass) stockOf(o *ordered, r *reserved) {
	f := p.found.of(audit.StockConserved)
	switch {
	case o.status == "CONFIRMED" && (r == nil || r.state != "held"):
		f.suspect(o.id, "the order is CONFIRMED, and holds no stock")
	case o.ended() && o.status != "CONFIRMED" && r != nil && r.state == "held":
		f.suspect(o.id, "the order is %s, and still holds stock", o.status)
	case r != nil && r.state == "held":
		if lines, err := itemsOf(r.lines); err != nil || lines != sorted(o.items) {
			f.suspect(o.id, "it holds %s, and ordered %s", r.lines, o.items)
		}
	}
}

// itemsOf gives a reservation's lines as sorted gives the order's.
func itemsOf(lines string) (string, error) {
	var all []struct {
		SKU string `json:"sku"`
		Qty int64  `json:"qty"`
	}
	if err := json.Unmarshal([]byte(lines), &all); err != nil {
		return "", err
	}
	items := make([]string, len(all))
	for i, l := range all {
		items[i] = l.SKU + ":" + strconv.FormatInt(l.Qty, 10)
	}
	slices.Sort(items)
	return strings.Join(items, ","), nil
}

// sorted puts an order's lines, such as SKU-1:2,SKU-2:1, into the order of their SKUs.
func sorted(items string) string {
	if !strings.Contains(items, ",") {
		return items
	}
	all := strings.Split(items, ",")
	slices.Sort(all)
	return strings.Join(all, ",")
}
