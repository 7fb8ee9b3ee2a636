package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// RedisOptions bound what the cache costs. A zero value means the default.
type RedisOptions struct {
	Sweep      time.Duration // how often expired keys are removed; 1 s
	RenewAfter int           // commands after which the cache starts empty again; 100,000
	Log        *slog.Logger
}

// Redis is a cache in this process that speaks Redis' protocol. It forgets everything at its end,
// and now and then before: the server inside keeps something of every key it has ever seen, so it
// is replaced by an empty one after a number of commands. Clients see a closed connection and an
// empty cache, both of which they have to live with anyway.
type Redis struct {
	opts RedisOptions
	ln   net.Listener
	quit chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	server *miniredis.Miniredis // nil when closed
}

// StartRedis serves an empty cache on a loopback address. It fails with a PortError.
func StartRedis(addr string, opts RedisOptions) (*Redis, error) {
	opts.Sweep = cmp.Or(opts.Sweep, time.Second)
	opts.RenewAfter = cmp.Or(opts.RenewAfter, 100_000)
	opts.Log = cmp.Or(opts.Log, slog.New(slog.DiscardHandler))
	server, err := newRedis()
	if err != nil {
		return nil, err
	}
	ln, err := listen("redis", addr)
	if err != nil {
		server.Close()
		return nil, err
	}
	r := &Redis{opts: opts, ln: ln, quit: make(chan struct{}), server: server}
	r.done.Go(r.accept)
	r.done.Go(r.runClock)
	return r, nil
}

// newRedis starts a server without a port of its own: the listener stays ours, so that it is
// there without a gap while servers come and go.
func newRedis() (*miniredis.Miniredis, error) {
	m := miniredis.NewMiniRedis()
	conn, err := m.Dial()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	return m, conn.Close()
}

// Addr is the address to give to clients.
func (r *Redis) Addr() string { return r.ln.Addr().String() }

// Close ends the server and its connections.
func (r *Redis) Close() error {
	r.mu.Lock()
	server := r.server
	r.server = nil
	r.mu.Unlock()
	if server == nil {
		return nil
	}
	close(r.quit)
	err := r.ln.Close()
	r.done.Wait()
	server.Close()
	return err
}

func (r *Redis) accept() {
	for {
		conn, err := r.ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.opts.Log.Error("redis takes no more connections", "error", err)
			}
			return
		}
		r.mu.Lock()
		if r.server == nil {
			_ = conn.Close() // nobody reads it
		} else {
			r.server.Server().ServeConn(conn)
		}
		r.mu.Unlock()
	}
}

// runClock lets keys expire. The server's own clock would look at every key at every command;
// here that happens once a sweep, and takes a twentieth of the time at most.
func (r *Redis) runClock() {
	last := time.Now()
	timer := time.NewTimer(r.opts.Sweep)
	defer timer.Stop()
	for {
		select {
		case <-r.quit:
			return
		case <-timer.C:
		}
		began := time.Now()
		r.sweep(began.Sub(last))
		last = began
		timer.Reset(max(r.opts.Sweep, 20*time.Since(began)))
	}
}

func (r *Redis) sweep(elapsed time.Duration) {
	r.mu.Lock()
	server := r.server
	r.mu.Unlock()
	if server == nil {
		return
	}
	if server.CommandCount() >= r.opts.RenewAfter {
		r.renew(server)
		return
	}
	server.FastForward(elapsed)
}

func (r *Redis) renew(old *miniredis.Miniredis) {
	fresh, err := newRedis()
	if err != nil {
		r.opts.Log.Warn("the cache is not renewed", "error", err)
		return
	}
	r.mu.Lock()
	if r.server == nil { // closed meanwhile
		r.mu.Unlock()
		fresh.Close()
		return
	}
	r.server = fresh
	r.mu.Unlock()
	old.Close()
}
