package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzPlace asks for two things: whatever is sent, the service is never at fault, and what it
// answers is what the contract says.
func FuzzPlace(f *testing.F) {
	f.Add([]byte(usual), "application/json", "k")
	f.Add([]byte(`{"userId":"u","items":[{"sku":"SKU-LOW","qty":1}],"currency":"LKR"}`), "application/json; charset=utf-8", `"k"`)
	f.Add([]byte(`{"userId":"\ud800","items":[{"qty":1e999}],"currency":null,"currency":1}`), "application/json", "")
	f.Add([]byte(`[[[[{"a":[1,]}]]]]`), "text/plain", "\x00")
	f.Add([]byte("\xff\xfe{}"), "application/json;", strings.Repeat(`"`, 300))
	f.Fuzz(func(t *testing.T, body []byte, kind, key string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/orders", strings.NewReader(string(body)))
		r.Header["Content-Type"] = []string{kind}
		if key != "" {
			r.Header["Idempotency-Key"] = []string{key}
		}
		w := httptest.NewRecorder()
		newShop().handler().ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError || w.Code < http.StatusOK {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		conforms(t, r, w.Result(), w.Body.Bytes())
	})
}
