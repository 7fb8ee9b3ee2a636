package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"millrace/adapters/config"
	"millrace/app/messages"
)

func TestOnceItIsReadyProgramsReadAddressesAndPeopleATable(t *testing.T) {
	t.Parallel()
	c, err := config.Load(t.TempDir(), []string{"PSP_URL=http://psp:1", "SMTP_HOST=mail", "KAFKA_BROKERS=kafka:9092", "REDIS_HOST=redis"})
	if err != nil {
		t.Fatal(err)
	}
	var people, programs bytes.Buffer
	printReady(&people, upOptions{Data: "here", BasePort: 9000}, c)
	if text := people.String(); !strings.HasPrefix(text, "  api-gateway            http://127.0.0.1:9000\n") || !strings.HasSuffix(text, "\nready http://127.0.0.1:9000\n") {
		t.Errorf("people read:\n%s", text)
	}
	printReady(&programs, upOptions{Data: "here", BasePort: 9000, JSON: true}, c)
	document, rest, _ := strings.Cut(programs.String(), "\n")
	if rest != "ready http://127.0.0.1:9000\n" {
		t.Errorf("after the document programs read %q", rest)
	}
	var at addresses
	if err := json.Unmarshal([]byte(document), &at); err != nil {
		t.Fatalf("%q: %v", document, err)
	}
	if at.Services[messages.Orchestrator] != "http://127.0.0.1:9005" || at.PSP != "http://psp:1" || at.Kafka != "kafka:9092" || at.Data != "here" {
		t.Errorf("programs read %+v", at)
	}
}
