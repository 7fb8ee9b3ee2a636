package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/app/messages"
)

// api is the HTTP interface of a running Millrace.
type api struct {
	base  string
	token string // "" for none
	http  *http.Client
}

// urlFlag gives a verb the flags --url and --token.
func (p *program) urlFlag(c *cobra.Command) func() api {
	url := c.Flags().String("url", "http://127.0.0.1:8080", "where the API is")
	token := p.tokenFlag(c)
	return func() api { return api{strings.TrimSuffix(*url, "/"), token(), p.HTTP} }
}

// placed is the answer to an order that was accepted.
type placed struct {
	OrderID string `json:"orderId"`
	Status  string `json:"status"`
}

// shown is an order as the API shows it.
type shown struct {
	OrderID   string    `json:"orderId"`
	UserID    string    `json:"userId"`
	Status    string    `json:"status"`
	Items     []line    `json:"items"`
	Currency  string    `json:"currency"`
	Total     int64     `json:"total"`
	Reason    *string   `json:"reason"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	Timeline  []mark    `json:"timeline"`
}

type line struct {
	SKU   string `json:"sku"`
	Qty   int    `json:"qty"`
	Price *int64 `json:"price,omitempty"`
}

type mark struct {
	Seq     int       `json:"seq"`
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Status  string    `json:"status"`
	EventID string    `json:"eventId"`
}

type page struct {
	Items []shown `json:"items"`
	Next  *string `json:"nextCursor"`
}

func (s shown) ended() bool { return messages.Ended(s.Status) }

func (s shown) reason() string {
	if s.Reason == nil {
		return ""
	}
	return *s.Reason
}

// problem is an answer of the API that is not what was asked for.
type problem struct {
	status int
	code   string
	detail string
}

func (p *problem) Error() string {
	if p.code == "" {
		return fmt.Sprintf("the API answered HTTP %d", p.status)
	}
	return fmt.Sprintf("%s (%s, HTTP %d)", p.detail, p.code, p.status)
}

// get asks for a path and gives the body with the ETag. With the ETag of an earlier answer it
// gives no body when nothing has changed.
func (a api) get(ctx context.Context, path, etag string) (body []byte, newTag string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, "", a.address(err)
	}
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	return a.do(request)
}

func (a api) post(ctx context.Context, path string, body any, key string) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("write JSON: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, bytes.NewReader(text))
	if err != nil {
		return nil, a.address(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	answer, _, err := a.do(request)
	return answer, err
}

func (a api) address(err error) error {
	return fmt.Errorf("--url %q is no address: give one such as http://127.0.0.1:8080: %w", a.base, err)
}

func (a api) do(request *http.Request) ([]byte, string, error) {
	a.authorize(request)
	answer, err := a.http.Do(request)
	if err != nil {
		if ctx := request.Context().Err(); ctx != nil {
			return nil, "", ctx
		}
		return nil, "", fmt.Errorf("nothing answers at %s: start it with `millrace up`, or say with --url where it is: %w", a.base, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err != nil {
		return nil, "", fmt.Errorf("the answer of %s broke off, try again: %w", a.base, err)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		return nil, "", unauthorized(problemOf(answer.StatusCode, body))
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return nil, "", problemOf(answer.StatusCode, body)
	}
	return body, answer.Header.Get("ETag"), nil
}

// problemOf reads problem+json (RFC 9457), with every mistake that it names.
func problemOf(status int, body []byte) error {
	var p struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
		Errors []struct {
			Pointer string `json:"pointer"`
			Detail  string `json:"detail"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return &problem{status: status}
	}
	var details []string
	for _, e := range p.Errors {
		details = append(details, strings.TrimSpace(e.Pointer+" "+e.Detail))
	}
	if len(details) == 0 {
		details = []string{p.Detail}
	}
	return &problem{status, p.Code, strings.Join(details, "; ")}
}

// order asks for one order.
func (a api) order(ctx context.Context, id, etag string) (order shown, raw []byte, newTag string, err error) {
	raw, newTag, err = a.get(ctx, "/api/v1/orders/"+escape(id), etag)
	if err != nil || len(raw) == 0 {
		return order, raw, newTag, err
	}
	return order, raw, newTag, a.decode(raw, &order)
}

func (a api) decode(body []byte, to any) error {
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("%s does not answer as Millrace does, look at --url: %w", a.base, err)
	}
	return nil
}

// codeOf gives the code of a refusal, or a short word for any other failure.
func codeOf(err error) string {
	var p *problem
	switch {
	case errors.As(err, &p) && p.code != "":
		return p.code
	case errors.As(err, &p):
		return fmt.Sprintf("http_%d", p.status)
	default:
		return "no_answer"
	}
}
