package messages

import "fmt"

// checked is a message whose values have rules that its JSON shape cannot express. Whoever
// decodes applies them, so that no handler sees a quantity of minus one.
type checked interface{ check() error }

func (m *OrderCreated) check() error {
	if m.UserID == "" || m.Total <= 0 || m.Currency == "" || len(m.Items) == 0 {
		return fmt.Errorf("OrderCreated needs userId, items, currency and a total above zero")
	}
	for i, item := range m.Items {
		if item.SKU == "" || item.Qty < 1 || item.Price < 0 {
			return fmt.Errorf("OrderCreated.items[%d] needs a sku, a qty of at least 1 and a price of at least 0", i)
		}
	}
	return nil
}

// Ended says whether a status is one with which an order ends: the statuses that OrderCompleted may tell.
func Ended(status string) bool {
	return status == "CONFIRMED" || status == "FAILED" || status == "CANCELLED"
}

func (m *OrderCompleted) check() error {
	if m.UserID == "" || !Ended(m.Status) {
		return fmt.Errorf("OrderCompleted needs a userId and a status that is CONFIRMED, FAILED or CANCELLED")
	}
	return nil
}

func (m *PaymentSucceeded) check() error {
	if len(m.Items) == 0 {
		return fmt.Errorf("PaymentSucceeded needs items")
	}
	seen := make(map[string]bool, len(m.Items))
	for i, item := range m.Items {
		if item.SKU == "" || item.Qty < 1 || seen[item.SKU] {
			return fmt.Errorf("PaymentSucceeded.items[%d] needs a sku of its own and a qty of at least 1", i)
		}
		seen[item.SKU] = true
	}
	return nil
}
