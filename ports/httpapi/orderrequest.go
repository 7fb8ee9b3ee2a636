package httpapi

import (
	"regexp"
	"strconv"

	ordering "millrace/app/order"
	"millrace/domain/money"
	"millrace/domain/order"
	"millrace/ports/httpapi/contract"
)

var methodForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// readOrder reads the body of a POST as the contract has it and gives everything that is wrong
// with it, not only the first mistake. What the catalog says is the use case's to check.
func readOrder(body []byte) (contract.OrderRequest, []error) {
	v, err := parse(body)
	if err != nil {
		return contract.OrderRequest{}, []error{err}
	}
	var r reading
	var req contract.OrderRequest
	fields := r.object(v, "", []string{"userId", "items", "currency"}, []string{"paymentMethod"})
	if v, ok := fields["userId"]; ok && r.isA(v, text, "/userId") {
		req.UserId = v.text
		if _, err := order.ParseUserID(v.text); err != nil {
			r.wrong = append(r.wrong, err)
		}
	}
	if v, ok := fields["items"]; ok && r.isA(v, array, "/items") {
		req.Items = r.items(v.items)
	}
	if v, ok := fields["currency"]; ok && r.isA(v, text, "/currency") {
		req.Currency = v.text
		if _, err := money.ParseCurrency(v.text); err != nil {
			r.refuse("invalid_currency", "/currency", "currency must be three capital letters, such as LKR")
		}
	}
	if v, ok := fields["paymentMethod"]; ok && r.isA(v, text, "/paymentMethod") {
		req.PaymentMethod = &v.text
		if !methodForm.MatchString(v.text) {
			r.refuse("invalid_payment_method", "/paymentMethod", "paymentMethod must be 1 to 64 letters, digits, _ or -")
		}
	}
	return req, r.wrong
}

func (r *reading) items(values []value) []contract.OrderRequestItem {
	if len(values) == 0 || len(values) > order.MaxItems {
		r.refuse("invalid_items", "/items", "an order has 1 to %d items", order.MaxItems)
		return nil
	}
	items := make([]contract.OrderRequestItem, len(values))
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		at := "/items/" + strconv.Itoa(i)
		items[i] = r.item(v, at)
		if sku := items[i].Sku; sku != "" && seen[sku] {
			r.refuse("duplicate_sku", at+"/sku", "%s stands there twice: give each SKU once, with its whole quantity", sku)
		}
		seen[items[i].Sku] = true
	}
	return items
}

// item leaves what is wrong with a line at its zero value.
func (r *reading) item(v value, at string) contract.OrderRequestItem {
	var item contract.OrderRequestItem
	fields := r.object(v, at, []string{"sku", "qty"}, []string{"price"})
	if v, ok := fields["sku"]; ok && r.isA(v, text, at+"/sku") {
		if order.ValidSKU(v.text) {
			item.Sku = v.text
		} else {
			r.refuse("unknown_sku", at+"/sku", "a SKU is 1 to 64 letters, digits, dots, _ or -")
		}
	}
	if v, ok := fields["qty"]; ok {
		switch qty, ok := r.whole(v, at+"/qty"); {
		case !ok:
		case qty < 1 || qty > order.MaxQty:
			r.refuse("invalid_qty", at+"/qty", "qty must be 1 to %d", order.MaxQty)
		default:
			item.Qty = int(qty)
		}
	}
	if v, ok := fields["price"]; ok {
		switch price, ok := r.whole(v, at+"/price"); {
		case !ok:
		case price < 0:
			r.refuse("price_mismatch", at+"/price", "a price is never below zero: leave it out or give the catalog's")
		default:
			item.Price = &price
		}
	}
	return item
}

// wanted is the request as the use case takes it.
func wanted(req contract.OrderRequest) ordering.Request {
	r := ordering.Request{UserID: req.UserId, Currency: req.Currency, Items: make([]ordering.Wish, len(req.Items))}
	if req.PaymentMethod != nil {
		r.PaymentMethod = *req.PaymentMethod
	}
	for i, item := range req.Items {
		r.Items[i] = ordering.Wish{SKU: item.Sku, Qty: item.Qty, Price: item.Price}
	}
	return r
}
