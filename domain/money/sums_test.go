package money_test

import (
	"testing"

	"millrace/domain/money"
)

func TestSumsAreSaidByCurrencyInTheOrderOfTheirCodes(t *testing.T) {
	t.Parallel()
	for want, sums := range map[string]map[string]int64{
		"nothing":            nil,
		"7 LKR":              {"LKR": 7},
		"5 EUR and 2500 LKR": {"LKR": 2500, "EUR": 5},
	} {
		if got := money.Sums(sums); got != want {
			t.Errorf("%v are said as %q, want %q", sums, got, want)
		}
	}
}
