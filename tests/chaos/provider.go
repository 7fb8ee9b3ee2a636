package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// mischief stands between the payment service and the provider, and does what no wire can: answer
// for the provider, or let a charge happen and swallow the answer.
type mischief struct {
	proxy *httputil.ReverseProxy
	mu    sync.Mutex
	mode  mode
	done  atomic.Int64 // requests that it has spoiled
}

// mode spoils requests; it says true when it has dealt with one.
type mode func(http.ResponseWriter, *http.Request) bool

func newMischief(ctx context.Context, address, provider string) (*mischief, error) {
	to, err := url.Parse(provider)
	if err != nil {
		return nil, err
	}
	m := &mischief{proxy: httputil.NewSingleHostReverseProxy(to)}
	m.proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	go func() { _ = s.Serve(l) }() // it ends with ctx
	return m, nil
}

// ServeHTTP spoils a request or hands it on.
func (m *mischief) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	mode := m.mode
	m.mu.Unlock()
	if mode != nil && mode(w, r) {
		m.done.Add(1)
		return
	}
	m.proxy.ServeHTTP(w, r)
}

func (m *mischief) set(mode mode) {
	m.mu.Lock()
	m.mode = mode
	m.mu.Unlock()
}

func captures(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/v1/captures"
}

// unwell answers every call with 500.
func (m *mischief) unwell(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusInternalServerError)
	return true
}

// swallow lets a charge happen, and the answer never comes.
func (m *mischief) swallow(_ http.ResponseWriter, r *http.Request) bool {
	if !captures(r) {
		return false
	}
	m.proxy.ServeHTTP(&deaf{header: http.Header{}}, whole(r))
	m.done.Add(1)
	panic(http.ErrAbortHandler) // ends the connection
}

// dawdle keeps a charge on its way for a while, whether its sender still waits or not.
func (m *mischief) dawdle(d time.Duration) mode {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !captures(r) {
			return false
		}
		arrived := whole(r)
		time.Sleep(d)
		m.proxy.ServeHTTP(w, arrived)
		return true
	}
}

// whole is a request that has arrived: its sender cannot take it back by leaving.
func whole(r *http.Request) *http.Request {
	body, _ := io.ReadAll(r.Body) // what is missing, the provider refuses
	w := r.Clone(context.WithoutCancel(r.Context()))
	w.Body, w.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return w
}

// deaf takes an answer and tells nobody.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header         { return d.header }
func (d *deaf) Write(p []byte) (int, error) { return len(p), nil }
func (d *deaf) WriteHeader(int)             {}
