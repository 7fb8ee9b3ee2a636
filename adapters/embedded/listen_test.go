package embedded_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"millrace/adapters/embedded"
)

// starts opens each part on an address.
func starts(dir string) map[string]func(addr string) (io.Closer, error) {
	return map[string]func(addr string) (io.Closer, error){
		"kafka": func(addr string) (io.Closer, error) {
			return embedded.StartKafka(addr, dir+"/kafka", embedded.KafkaOptions{})
		},
		"redis": func(addr string) (io.Closer, error) { return embedded.StartRedis(addr, embedded.RedisOptions{}) },
		"mail":  func(addr string) (io.Closer, error) { return embedded.StartMail(addr, dir+"/mail", nil) },
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	addr := l.Addr().String()
	for part, start := range starts(t.TempDir()) {
		_, err := start(addr)
		var port *embedded.PortError
		if !errors.As(err, &port) || !port.InUse || port.Part != part || !strings.HasSuffix(addr, ":"+strconv.Itoa(port.Port())) {
			t.Errorf("%s: got %v, want a PortError for %s", part, err, addr)
		}
	}
}

func TestOnlyThisMachineIsServed(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "127.0.0.1"} {
		for part, start := range starts(t.TempDir()) {
			_, err := start(addr)
			var port *embedded.PortError
			if !errors.As(err, &port) || port.InUse {
				t.Errorf("%s on %q: got %v, want a refusal", part, addr, err)
			}
		}
	}
}

func TestAPortIsFreeAgainAfterClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for part, start := range starts(dir) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			server, err := start(addr)
			if err != nil {
				t.Fatalf("%s: %v", part, err)
			}
			if err := server.Close(); err != nil {
				t.Errorf("%s: %v", part, err)
			}
		}
	}
}
