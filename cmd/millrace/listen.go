package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
)

// listenOn takes a port. Its failure is a line that names the port, its holder where the system
// tells, and what to change.
func listenOn(host string, port int, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err == nil {
		return l, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, portInUse(port, flag)
	}
	return nil, fmt.Errorf("cannot listen on %s:%d: %w: choose another with %s", host, port, err, flag)
}

func portInUse(port int, flag string) error {
	return fmt.Errorf("port %d is in use%s: stop whoever holds it, or choose other ports with %s", port, holderOf(port), flag)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a caller that has left is no failure of ours
}
