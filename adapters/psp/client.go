// Package psp is the driven side of payments: it reaches the payment provider over HTTP, or the
// simulator in the same process. It translates answers into fates and faults and nothing else:
// when to try again, and what a fate means for an order, is decided in app/payment.
package psp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"millrace/adapters/failpoint"
	"millrace/app/messages"
	"millrace/app/payment"
	"millrace/domain/fault"
	"millrace/domain/money"
)

// Faults of the provider.
var (
	ErrUnknownOutcome = fault.New(fault.Unavailable, "provider_unavailable", "the payment provider did not answer; what came of the call is unknown")
	ErrCircuitOpen    = fault.New(fault.Unavailable, "provider_circuit_open", "the payment provider failed too often and is left alone for a moment")
	ErrRefused        = fault.New(fault.Invalid, "provider_refused", "the payment provider refused the request")
	ErrURL            = fault.New(fault.Invalid, "invalid_psp_url", "the payment provider's address must be an http or https URL")
)

const (
	defaultTimeout = 5 * time.Second
	maxAnswer      = 64 << 10
	connections    = 64
)

// Config says where the provider is and how long it may take.
type Config struct {
	URL     string        // such as http://127.0.0.1:8086
	Name    string        // shown in events; "simulator" when empty
	Timeout time.Duration // of one call; 5 s when zero
	Breaker Breaker
}

// Client calls the provider over HTTP. It is a payment.Provider.
type Client struct {
	name    string
	base    string
	timeout time.Duration
	http    *http.Client
	guard   *guard
}

var _ payment.Provider = (*Client)(nil)

// NewClient makes a client; it fails with ErrURL. Connections are kept and shared by all calls.
func NewClient(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ErrURL.Because(fmt.Errorf("%q", c.URL))
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConns:        connections,
		MaxIdleConnsPerHost: connections,
		IdleConnTimeout:     90 * time.Second,
	}
	return &Client{
		name:    cmp.Or(c.Name, "simulator"),
		base:    strings.TrimSuffix(u.String(), "/"),
		timeout: cmp.Or(c.Timeout, defaultTimeout),
		http:    &http.Client{Transport: otelhttp.NewTransport(transport)},
		guard:   newGuard(c.Breaker),
	}, nil
}

// Name is the provider's name in events.
func (c *Client) Name() string { return c.name }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Capture charges a card. A declined card and a voided key are fates, not faults. It fails with
// ErrUnknownOutcome or ErrCircuitOpen (both Unavailable), or ErrRefused.
func (c *Client) Capture(ctx context.Context, charge payment.Charge) (payment.Fate, error) {
	a, err := c.call(ctx, http.MethodPost, "/v1/captures", charge.Key, map[string]any{
		"orderId": charge.OrderID, "amount": charge.Amount.Minor,
		"currency": charge.Amount.Currency.String(), "paymentMethod": charge.Method,
	})
	switch {
	case err != nil:
		return payment.Fate{}, fmt.Errorf("capture %s: %w", charge.Key, err)
	case a.status == http.StatusPaymentRequired:
		return fate(payment.FateDeclined, "", "", a.Code), nil
	case a.status == http.StatusConflict && a.Code == "voided":
		return payment.Fate{State: payment.FateVoided}, nil
	case a.ok():
		return a.fate()
	}
	return payment.Fate{}, fmt.Errorf("capture %s: %w", charge.Key, a.refusal())
}

// Void bars a capture. False means that it has happened, or is running and will happen. It fails
// as Capture does.
func (c *Client) Void(ctx context.Context, captureKey string) (bool, error) {
	a, err := c.call(ctx, http.MethodPost, "/v1/voids", captureKey+":void", map[string]any{"captureKey": captureKey})
	switch {
	case err != nil:
		return false, fmt.Errorf("void %s: %w", captureKey, err)
	case a.status == http.StatusConflict:
		return false, nil
	case a.ok():
		return true, nil
	}
	return false, fmt.Errorf("void %s: %w", captureKey, a.refusal())
}

// Refund gives captured money back, once for its key. It fails as Capture does; a capture that is
// still running cannot be refunded yet, which is Unavailable too.
func (c *Client) Refund(ctx context.Context, key, captureKey string, amount money.Amount) error {
	a, err := c.call(ctx, http.MethodPost, "/v1/refunds", key, map[string]any{"captureKey": captureKey, "amount": amount.Minor})
	switch {
	case err != nil:
		return fmt.Errorf("refund %s: %w", key, err)
	case a.ok():
		return nil
	}
	return fmt.Errorf("refund %s: %w", key, a.refusal())
}

// Find asks what became of a capture. A key that the provider has never seen is FateUnknown and
// no fault. It fails as Capture does.
func (c *Client) Find(ctx context.Context, captureKey string) (payment.Fate, error) {
	a, err := c.call(ctx, http.MethodGet, "/v1/captures?key="+url.QueryEscape(captureKey), "", nil)
	switch {
	case err != nil:
		return payment.Fate{}, fmt.Errorf("find %s: %w", captureKey, err)
	case a.status == http.StatusNotFound:
		return payment.Fate{State: payment.FateUnknown}, nil
	case a.ok():
		return a.fate()
	}
	return payment.Fate{}, fmt.Errorf("find %s: %w", captureKey, a.refusal())
}

// call sends one request and reads its answer. It fails only when the outcome is unknown.
func (c *Client) call(ctx context.Context, method, path, key string, body any) (answer, error) {
	return c.guard.call(ctx, func() (answer, error) {
		ctx, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		var payload io.Reader = http.NoBody
		if body != nil {
			raw, err := json.Marshal(body)
			if err != nil {
				return answer{}, err
			}
			payload = bytes.NewReader(raw)
		}
		r, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
		if err != nil {
			return answer{}, err
		}
		r.Header.Set("Accept", "application/json")
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", key)
		}
		resp, err := c.http.Do(r)
		if err != nil {
			return answer{}, ErrUnknownOutcome.Because(err)
		}
		failpoint.Hit(failpoint.ProviderAnswered, messages.PaymentService)
		return read(resp)
	})
}

func read(resp *http.Response) (answer, error) {
	defer resp.Body.Close() // it was read
	a := answer{status: resp.StatusCode}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return a, ErrUnknownOutcome.Because(err)
	}
	if a.later() {
		return a, ErrUnknownOutcome.Because(fmt.Errorf("status %d: %.200s", a.status, raw))
	}
	// A refusal may come from a proxy that does not speak JSON; a yes has to be understood.
	if err := json.Unmarshal(raw, &a); err != nil && a.ok() {
		return a, ErrUnknownOutcome.Because(errors.Join(fmt.Errorf("status %d", a.status), err))
	}
	return a, nil
}
