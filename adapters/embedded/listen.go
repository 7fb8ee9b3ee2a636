// Package embedded holds the servers that `millrace up` runs in its own process, so that nothing
// has to be installed: Kafka's protocol, Redis' protocol and an SMTP sink, each on 127.0.0.1
// alone. They speak to the rest of the system through their sockets only; nothing of the
// system's own messages or rules may be in this package.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// PortError says that a part could not listen on its address. Callers name the flag that moves it.
type PortError struct {
	Part  string // kafka, redis or mail
	Addr  string // host:port
	InUse bool   // another process has the port
	cause error
}

// Error is one line that names the part and the address.
func (e *PortError) Error() string {
	if e.InUse {
		return fmt.Sprintf("%s: the port of %s is in use", e.Part, e.Addr)
	}
	return fmt.Sprintf("%s: cannot listen on %s: %v", e.Part, e.Addr, e.cause)
}

// Unwrap gives what the system said.
func (e *PortError) Unwrap() error { return e.cause }

// Port is the port's number, or 0 when the address has none.
func (e *PortError) Port() int {
	_, port, err := net.SplitHostPort(e.Addr)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// listen opens a loopback address. These servers ask nobody for a password, so any other address
// is refused.
func listen(part, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, &PortError{Part: part, Addr: addr, cause: err}
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, &PortError{Part: part, Addr: addr, cause: errors.New("only loopback addresses are served")}
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, &PortError{Part: part, Addr: addr, InUse: errors.Is(err, syscall.EADDRINUSE), cause: err}
	}
	return l, nil
}
