// Package freeport finds ports for the servers of a test, so that tests of several processes can run
// side by side.
package freeport

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports lie below the range that outgoing connections use, so that a server that was ended finds its
// own free again. Blocks begin at a multiple of blockSize, so that two never overlap.
const (
	lowest    = 10_000
	blocks    = 1000
	blockSize = 10
)

// claims keeps what was given out claimed until the process ends.
var claims struct {
	sync.Mutex
	held []net.PacketConn
}

// Block finds n TCP ports in a row on 127.0.0.1, at most 10, that nobody listens on and that no other
// caller is given while this process lives. It panics when there are none.
func Block(n int) int {
	if n > blockSize {
		panic("freeport: a block has " + strconv.Itoa(blockSize) + " ports")
	}
	for range 10 * blocks {
		if base := lowest + blockSize*rand.IntN(blocks); claim(base) && allFree(base, n) {
			return base
		}
	}
	panic("freeport: no free block of ports")
}

// claim holds the UDP port of the same number. Between the moment that a port is found free and the
// moment that its server listens anybody else could find it too; TCP servers never see a UDP port.
func claim(base int) bool {
	c, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", at(base))
	if err != nil {
		return false
	}
	claims.Lock()
	claims.held = append(claims.held, c)
	claims.Unlock()
	return true
}

func allFree(base, n int) bool {
	for port := base; port < base+n; port++ {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", at(port))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
