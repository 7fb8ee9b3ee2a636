package psp

import (
	"fmt"
	"net/http"

	"millrace/app/payment"
)

// answer is what the provider said: a capture, or a problem document (RFC 9457).
type answer struct {
	status int

	ID       string `json:"id"`
	AuthCode string `json:"authCode"`
	Reason   string `json:"reason"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`

	// In a capture this is a word, in a problem document the number of the HTTP status.
	RawStatus any `json:"status"`
}

func (a answer) ok() bool { return a.status >= 200 && a.status < 300 }

// later says whether the status leaves the outcome open or asks for another try.
func (a answer) later() bool {
	return a.status >= 500 || a.status < 200 || a.status >= 300 && a.status < 400 ||
		a.status == http.StatusRequestTimeout || a.status == http.StatusTooEarly || a.status == http.StatusTooManyRequests
}

var states = map[string]payment.FateState{
	"pending":  payment.FatePending,
	"captured": payment.FateCaptured,
	"declined": payment.FateDeclined,
	"voided":   payment.FateVoided,
}

func (a answer) fate() (payment.Fate, error) {
	word, _ := a.RawStatus.(string)
	state, ok := states[word]
	if !ok {
		return payment.Fate{}, ErrUnknownOutcome.Because(fmt.Errorf("the provider knows a status %v that we do not", a.RawStatus))
	}
	return fate(state, a.ID, a.AuthCode, a.Reason), nil
}

// fate keeps of an answer what belongs to the state.
func fate(state payment.FateState, id, authCode, reason string) payment.Fate {
	switch state {
	case payment.FateDeclined:
		return payment.Fate{State: state, Reason: reason}
	case payment.FateVoided:
		return payment.Fate{State: state}
	default:
		return payment.Fate{State: state, ID: id, AuthCode: authCode}
	}
}

// refusal is the fault of an answer that is a clear no.
func (a answer) refusal() error {
	said := fmt.Errorf("status %d, code %s: %s", a.status, a.Code, a.Detail)
	if a.status == http.StatusConflict && a.Code == "capture_running" {
		return ErrUnknownOutcome.Because(said)
	}
	return ErrRefused.Because(said)
}
