package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a server. Idle connections are kept longer here than by the gateway that opened
// them, so that it never sends a request into one that is being closed.
const (
	headerLimit   = 5 * time.Second
	readLimit     = 15 * time.Second
	writeLimit    = 30 * time.Second
	idleLimit     = 3 * time.Minute
	headerBytes   = 32 << 10
	shutdownLimit = 5 * time.Second
)

// Serve answers requests on the listener until ctx ends, then ends streams, lets other requests in hand
// finish, for up to five seconds, and returns nil. It closes the listener. An error means that it could not
// serve, or that requests had to be broken off.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerLimit,
		ReadTimeout:       readLimit,
		WriteTimeout:      writeLimit,
		IdleTimeout:       idleLimit,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), servingKey{}, ctx) // see untilStop
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	err := server.Shutdown(limit)
	if err != nil {
		err = errors.Join(fmt.Errorf("shut %s down: %w", ln.Addr(), err), server.Close())
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve %s: %w", ln.Addr(), served))
	}
	return err
}
