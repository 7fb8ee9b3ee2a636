package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"millrace/domain/fault"
)

const maxBody = 64 << 10

// Handler is the provider's HTTP interface: POST /v1/captures, /v1/refunds and /v1/voids, GET
// /v1/captures?key=, GET /v1/ledger, /livez and /readyz. Errors are problem documents (RFC 9457).
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []struct {
		path    string
		methods map[string]http.HandlerFunc
	}{
		{"/v1/captures", map[string]http.HandlerFunc{http.MethodPost: s.postCapture, http.MethodGet: s.getCapture}},
		{"/v1/refunds", map[string]http.HandlerFunc{http.MethodPost: s.postRefund}},
		{"/v1/voids", map[string]http.HandlerFunc{http.MethodPost: s.postVoid}},
		{"/v1/ledger", map[string]http.HandlerFunc{http.MethodGet: s.getLedger}},
		{"/livez", map[string]http.HandlerFunc{http.MethodGet: ok}},
		{"/readyz", map[string]http.HandlerFunc{http.MethodGet: ok}},
	} {
		var allowed []string
		for method, handle := range route.methods {
			mux.HandleFunc(method+" "+route.path, handle)
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		mux.HandleFunc(route.path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			problem(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "this resource does not know "+r.Method)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, r, http.StatusNotFound, "not_found", "there is nothing at "+r.URL.Path)
	})
	return mux
}

func (s *Simulator) postCapture(w http.ResponseWriter, r *http.Request) {
	var body struct {
		OrderID  string `json:"orderId"`
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
		Method   string `json:"paymentMethod"`
	}
	if err := decode(w, r, &body); err != nil {
		fail(w, r, err)
		return
	}
	c, err := s.Capture(r.Context(), CaptureRequest{
		Key: key(r), OrderID: body.OrderID, Amount: body.Amount, Currency: body.Currency, Method: body.Method,
	})
	switch {
	case err != nil:
		fail(w, r, err)
	case c.Status == StatusDeclined:
		problem(w, r, http.StatusPaymentRequired, c.Reason, "the card was declined")
	case c.Status == StatusPending:
		answer(w, http.StatusAccepted, c)
	default:
		answer(w, http.StatusCreated, c)
	}
}

func (s *Simulator) getCapture(w http.ResponseWriter, r *http.Request) {
	c, err := s.Find(r.URL.Query().Get("key"))
	if err != nil {
		fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, c)
}

func (s *Simulator) postRefund(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CaptureKey string `json:"captureKey"`
		Amount     int64  `json:"amount"`
	}
	if err := decode(w, r, &body); err != nil {
		fail(w, r, err)
		return
	}
	refund, err := s.Refund(RefundRequest{Key: key(r), CaptureKey: body.CaptureKey, Amount: body.Amount})
	if err != nil {
		fail(w, r, err)
		return
	}
	answer(w, http.StatusCreated, refund)
}

func (s *Simulator) postVoid(w http.ResponseWriter, r *http.Request) {
	var body struct {
		CaptureKey string `json:"captureKey"`
	}
	if err := decode(w, r, &body); err != nil {
		fail(w, r, err)
		return
	}
	if err := s.Void(body.CaptureKey); err != nil {
		fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"captureKey": body.CaptureKey, "status": StatusVoided})
}

func (s *Simulator) getLedger(w http.ResponseWriter, r *http.Request) {
	if err := s.settled(); err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := s.WriteLedger(w); err != nil {
		s.opts.Log.WarnContext(r.Context(), "the ledger was not sent whole", "error", err)
		hangUp(w) // a cut answer must not look like a whole one
	}
}

func ok(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// key reads the Idempotency-Key, which is a quoted string in the draft and bare in practice.
func key(r *http.Request) string {
	k := strings.TrimSpace(r.Header.Get("Idempotency-Key"))
	if len(k) >= 2 && k[0] == '"' && k[len(k)-1] == '"' {
		k = k[1 : len(k)-1]
	}
	return k
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := body.Decode(into); err != nil {
		return fault.Invalidf("malformed_body", "", "the body is not the JSON object that is wanted: %v", err)
	}
	// Reading to the end is also what lets the server notice that a waiting caller has left.
	if _, err := body.Token(); err != io.EOF {
		return fault.Invalidf("malformed_body", "", "there is more in the body than one JSON object")
	}
	return nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that left does not read it
}

var statusOf = map[fault.Kind]int{
	fault.Invalid:     http.StatusBadRequest,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Internal:    http.StatusInternalServerError,
}

func fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrNoAnswer) {
		if !hangUp(w) {
			problem(w, r, http.StatusGatewayTimeout, "no_answer", err.Error())
		}
		return
	}
	status := statusOf[fault.KindOf(err)]
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	problem(w, r, status, fault.CodeOf(err), err.Error())
}

func problem(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a caller that left does not read it
		"type": "about:blank", "title": http.StatusText(status), "status": status,
		"detail": detail, "instance": r.URL.Path, "code": code,
	})
}

// hangUp ends the connection without an answer, where the connection can be had.
func hangUp(w http.ResponseWriter) bool {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	_ = conn.Close() // it is given up either way
	return true
}
