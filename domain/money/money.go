// Package money counts in the minor unit of one currency (cents, never a float), and refuses
// what would overflow or mix currencies.
package money

import (
	"math"

	"millrace/domain/fault"
)

// Faults of this package.
var (
	ErrCurrency = fault.New(fault.Invalid, "invalid_currency", "currency must be three capital letters as in ISO 4217")
	ErrOverflow = fault.New(fault.Invalid, "amount_overflow", "the amount is too large")
	ErrMixed    = fault.New(fault.Invalid, "mixed_currencies", "amounts of different currencies cannot be added")
)

// Currency is an ISO 4217 code.
type Currency struct{ code string }

// None is ISO 4217's XXX: no currency is involved.
var None = Currency{"XXX"}

// ParseCurrency takes three capital letters; it fails with ErrCurrency.
func ParseCurrency(code string) (Currency, error) {
	if len(code) != 3 {
		return Currency{}, ErrCurrency
	}
	for _, c := range code {
		if c < 'A' || c > 'Z' {
			return Currency{}, ErrCurrency
		}
	}
	return Currency{code}, nil
}

// RestoreCurrency gives a code back its type; only adapters call it, for codes that were parsed before.
func RestoreCurrency(code string) Currency { return Currency{code} }

// String gives the code.
func (c Currency) String() string { return c.code }

// Amount is a number of minor units of a currency.
type Amount struct {
	Minor    int64
	Currency Currency
}

// Of makes an amount.
func Of(minor int64, currency Currency) Amount { return Amount{minor, currency} }

// Times multiplies by a quantity of zero or more; it fails with ErrOverflow.
func (a Amount) Times(qty int) (Amount, error) {
	if qty != 0 && a.Minor > math.MaxInt64/int64(qty) {
		return Amount{}, ErrOverflow
	}
	return Amount{a.Minor * int64(qty), a.Currency}, nil
}

// Plus adds an amount that is not negative; it fails with ErrOverflow or ErrMixed.
func (a Amount) Plus(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, ErrMixed
	}
	if b.Minor > math.MaxInt64-a.Minor {
		return Amount{}, ErrOverflow
	}
	return Amount{a.Minor + b.Minor, a.Currency}, nil
}
