package order

import (
	"regexp"

	"millrace/domain/fault"
)

// ID names an order: "ord_" and 1 to 64 letters and digits. Ours are time-ordered, so that
// sorting by id is sorting by age.
type ID string

// UserID names a customer. It is the only thing about a customer that is ever in a message.
type UserID string

// SKU names a product.
type SKU string

var (
	idForm   = regexp.MustCompile(`^ord_[0-9A-Za-z]{1,64}$`)
	userForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	skuForm  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// ParseID fails with fault.Invalid, code invalid_order_id.
func ParseID(s string) (ID, error) {
	if !idForm.MatchString(s) {
		return "", fault.Invalidf("invalid_order_id", "", "an order id is ord_ and 1 to 64 letters and digits")
	}
	return ID(s), nil
}

// ParseUserID fails with fault.Invalid, code invalid_user_id.
func ParseUserID(s string) (UserID, error) {
	if !userForm.MatchString(s) {
		return "", fault.Invalidf("invalid_user_id", "/userId", "userId must be 1 to 64 letters, digits, _ or -")
	}
	return UserID(s), nil
}

// ValidSKU says whether s has the form of a SKU.
func ValidSKU(s string) bool { return skuForm.MatchString(s) }
