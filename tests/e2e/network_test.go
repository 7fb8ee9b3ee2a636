package e2e

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/tests/freeport"
)

const loopback = "127.0.0.1"

func at(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// freeBlock finds ten free ports in a row, the layout of `millrace up`.
func freeBlock(t *testing.T) int {
	t.Helper()
	return freeport.Block(10)
}

// gate is a door in front of a server: while it is shut, connections through it are broken and
// new ones are refused, as if the server were away.
type gate struct {
	addr, target string

	latency atomic.Int64 // nanoseconds that every answer takes longer

	mu    sync.Mutex
	l     net.Listener
	conns map[net.Conn]bool
}

func newGate(t *testing.T, port int, target string) *gate {
	t.Helper()
	g := &gate{addr: at(port), target: target, conns: map[net.Conn]bool{}}
	g.open(t)
	t.Cleanup(g.shut)
	return g
}

func (g *gate) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.l = l
	g.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go g.carry(l, in)
		}
	}()
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l != nil {
		_ = g.l.Close()
		g.l = nil
	}
	for c := range g.conns {
		_ = c.Close()
	}
	clear(g.conns)
}

func (g *gate) carry(l net.Listener, in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer out.Close()
	g.mu.Lock()
	if g.l != l { // shut meanwhile
		g.mu.Unlock()
		return
	}
	g.conns[in], g.conns[out] = true, true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.conns, in)
		delete(g.conns, out)
		g.mu.Unlock()
	}()
	ended := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(out, in); ended <- struct{}{} }()
	go func() { g.answers(in, out); ended <- struct{}{} }()
	<-ended
}

// slow makes every answer through the gate take longer, from now on.
func (g *gate) slow(by time.Duration) { g.latency.Store(int64(by)) }

// answers carries what the server says, each part as much later as the latency was when it came.
func (g *gate) answers(to io.Writer, from io.Reader) {
	type part struct {
		data []byte
		due  <-chan time.Time
	}
	way := make(chan part, 1024)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for p := range way {
			if p.due != nil {
				<-p.due
			}
			if _, err := to.Write(p.data); err != nil {
				return
			}
		}
	}()
	defer func() { close(way); <-gone }()
	for {
		buf := make([]byte, 32<<10)
		n, err := from.Read(buf)
		if n > 0 {
			p := part{data: buf[:n]}
			if by := g.latency.Load(); by > 0 {
				p.due = time.After(time.Duration(by))
			}
			select {
			case way <- p:
			case <-gone:
				return
			}
		}
		if err != nil {
			return
		}
	}
}
