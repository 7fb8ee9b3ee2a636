package e2e

import (
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

const loopback = "127.0.0.1"

func at(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// given are the blocks that freeBlock gave out.
var given sync.Map

// freeBlock finds ten free ports in a row, the layout of `millrace up`. They lie below the range
// that outgoing connections use, so that a server that was ended finds its own free again.
func freeBlock(t *testing.T) int {
	t.Helper()
	for range 200 {
		base := 10_000 + 10*rand.IntN(1000)
		if _, taken := given.LoadOrStore(base, true); !taken && allFree(base, 10) {
			return base
		}
	}
	t.Fatal("there are no ten free ports in a row")
	return 0
}

func allFree(base, n int) bool {
	for port := base; port < base+n; port++ {
		l, err := net.Listen("tcp", at(port))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

// gate is a door in front of a server: while it is shut, connections through it are broken and
// new ones are refused, as if the server were away.
type gate struct {
	addr, target string

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
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() { _, _ = io.Copy(way[0], way[1]); ended <- struct{}{} }()
	}
	<-ended
}
