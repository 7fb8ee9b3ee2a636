package kafkabus_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"millrace/adapters/kafkabus"
)

func TestEveryMechanismLetsTheRightPasswordInAndNoOther(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			cfg := kafkabus.Config{
				Brokers:  fakeKafka(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "miller", "wheel")),
				Security: kafkabus.Security{Protocol: "SASL_PLAINTEXT", Mechanism: mechanism, User: "miller", Password: "wheel"},
				Logger:   testLog(t),
			}
			if err := admin(t, cfg).Ping(within(t)); err != nil {
				t.Fatal(err)
			}
			name := topic(t, cfg)
			if err := publisher(t, cfg).Publish(name, order("ord_1", "x")); err != nil {
				t.Fatal(err)
			}
			next(t, subscribe(t, subscribers("windowed")(t, cfg, "g."+name), name)).Ack()

			cfg.Security.Password = "weir"
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := admin(t, cfg).Ping(ctx); err == nil {
				t.Error("a wrong password was let in")
			}
		})
	}
}

func TestTLSTrustsTheAuthorityThatWasGivenAndNoOther(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil) // for its certificate, which names 127.0.0.1
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := kafkabus.Config{
		Brokers:  fakeKafka(t, kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates})), //nolint:gosec // the server of a test
		Security: kafkabus.Security{Protocol: "SSL", CAFile: ca},
		Logger:   testLog(t),
	}
	if err := admin(t, cfg).Ping(within(t)); err != nil {
		t.Fatal(err)
	}
	cfg.Security.CAFile = ""
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := admin(t, cfg).Ping(ctx); err == nil {
		t.Error("a certificate of an unknown authority was trusted")
	}

	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Security.CAFile = empty
	if _, err := kafkabus.NewAdmin(cfg); err == nil {
		t.Error("a file without a certificate was taken")
	}
}
