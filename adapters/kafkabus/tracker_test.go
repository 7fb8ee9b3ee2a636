package kafkabus

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

func TestAClientThatLostAConnectionDialsNoMoreAndWaitsForNothing(t *testing.T) {
	t.Parallel()
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = broker.Close() }()
	go func() {
		for {
			c, err := broker.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // at once: it is lost
		}
	}()
	client := newConnTracker(sarama.NewConfig())
	usual := client.patience(time.Minute)
	for range 2 { // it has no id yet, and may lose what it likes
		c, err := client.Dial("tcp", broker.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Fatal(err)
		}
	}
	if wait := usual(1, 3); wait != time.Minute {
		t.Errorf("it waits %s between attempts before it has an id", wait)
	}
	client.arm()
	if _, err := client.Dial("tcp", broker.Addr().String()); !errors.Is(err, errConnLost) {
		t.Errorf("dialling again gave %v", err)
	}
	if wait := usual(1, 3); wait != 0 {
		t.Errorf("it waits %s for what it may not do", wait)
	}
}
