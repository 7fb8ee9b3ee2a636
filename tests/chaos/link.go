package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is a wire between the system and a server that can be cut or made slow. The proxy that
// carries it is in this process.
type link struct{ proxy *toxiproxy.Proxy }

var proxies = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())

// link lays a wire from a port to a server.
func (w *world) link(name string, port int, to string) error {
	l := &link{toxiproxy.NewProxy(proxies, name, at(port), to)}
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("link to %s: %w", name, err)
	}
	w.links[name] = l
	w.later(l.proxy.Stop)
	return nil
}

// cut breaks every connection and refuses new ones.
func (l *link) cut() { l.proxy.Stop() }

// mend takes connections again.
func (l *link) mend() error { return l.proxy.Start() }

// slow delays everything that comes back by so many milliseconds.
func (l *link) slow(milliseconds int) error {
	text, err := json.Marshal(map[string]any{
		"name": "slow", "type": "latency", "stream": "downstream", "attributes": map[string]int{"latency": milliseconds},
	})
	if err != nil {
		return err
	}
	_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(text))
	return err
}

// quick takes the delay away.
func (l *link) quick(ctx context.Context) error { return l.proxy.Toxics.RemoveToxic(ctx, "slow") }
