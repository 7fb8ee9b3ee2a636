package embedded_test

import (
	"encoding/json"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/adapters/embedded"
)

func startMail(t *testing.T, dir string) *embedded.Mail {
	t.Helper()
	m, err := embedded.StartMail("127.0.0.1:0", dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func sendRaw(t *testing.T, m *embedded.Mail, letter string) {
	t.Helper()
	if err := smtp.SendMail(m.Addr(), nil, "orders@millrace.local", []string{"usr_001@example.com"}, []byte(letter)); err != nil {
		t.Error(err)
	}
}

func letterOf(id, order string) string {
	return "From: <orders@millrace.local>\r\nTo: <usr_001@example.com>\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\n" +
		"Message-ID: <" + id + ">\r\nX-Order-ID: " + order + "\r\n\r\nHello.\r\n..\r\n"
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestEveryDeliveryIsAFileNamedAfterItsMessageID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMail(t, dir)
	letter := letterOf("ord_1.completed@millrace.local", "ord_1")
	for range 3 {
		sendRaw(t, m, letter)
	}
	sendRaw(t, m, letterOf("../../etc/passwd", ""))
	want := []string{
		"_._.._etc_passwd.eml", "ord_1.completed@millrace.local.2.eml",
		"ord_1.completed@millrace.local.3.eml", "ord_1.completed@millrace.local.eml",
	}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("the folder has %v, want %v", got, want)
	}
	kept, err := os.ReadFile(filepath.Join(dir, want[3]))
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != letter {
		t.Errorf("kept %q, want %q", kept, letter)
	}
}

func TestTheMailboxShowsAnOrdersLettersWithTheirDeliveries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMail(t, dir)
	began := time.Now().Add(-time.Second)
	for _, order := range []string{"ord_1", "ord_12", "ord_1"} {
		sendRaw(t, m, letterOf(order+".completed@millrace.local", order))
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	items, err := startMail(t, dir).Mailbox("ord_1") // another one on the same folder
	if err != nil || len(items) != 1 {
		t.Fatalf("got %+v, %v; want one letter", items, err)
	}
	if at := items[0].ReceivedAt; at.Before(began) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("received at %s", at)
	}
	items[0].ReceivedAt = time.Date(2026, 10, 12, 8, 0, 0, 0, time.UTC)
	got, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"messageId":"ord_1.completed@millrace.local","to":"usr_001@example.com","subject":"Café",` +
		`"orderId":"ord_1","receivedAt":"2026-10-12T08:00:00Z","deliveries":2}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAMailboxWithoutLettersIsAnEmptyList(t *testing.T) {
	t.Parallel()
	items, err := startMail(t, t.TempDir()).Mailbox("ord_1")
	if got, _ := json.Marshal(items); err != nil || string(got) != "[]" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestWithoutAnOrderTheMailboxShowsTheLastHundredLetters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMail(t, dir)
	for i := range 1500 {
		id := fmt.Sprintf("ord_%04d.completed@millrace.local", i)
		if err := os.WriteFile(filepath.Join(dir, id+".eml"), []byte(letterOf(id, fmt.Sprintf("ord_%04d", i))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	items, err := m.Mailbox("")
	if err != nil || len(items) != 100 {
		t.Fatalf("got %d letters, %v", len(items), err)
	}
	for _, item := range items {
		if item.OrderID < "ord_1400" {
			t.Errorf("%s is not among the last", item.OrderID)
		}
	}
}

func TestAtTheSameTimeNoDeliveryTakesAnothersName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := startMail(t, dir)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() { sendRaw(t, m, letterOf("ord_1.completed@millrace.local", "ord_1")) })
	}
	all.Wait()
	items, err := m.Mailbox("ord_1")
	if err != nil || len(items) != 1 || items[0].Deliveries != 40 {
		t.Errorf("got %+v, %v; want one letter delivered 40 times", items, err)
	}
}

func TestRestsOfACrashAreRemovedAndNeverShown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rest := filepath.Join(dir, ".incoming-123")
	if err := os.WriteFile(rest, []byte(letterOf("ord_1.completed@millrace.local", "ord_1")), 0o600); err != nil {
		t.Fatal(err)
	}
	m := startMail(t, dir)
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("the folder has %v", got)
	}
	sendRaw(t, m, "Subject: anonymous\r\n\r\nHello.\r\n")
	got := files(t, dir)
	if len(got) != 1 || !strings.HasPrefix(got[0], "no-message-id-") {
		t.Errorf("the folder has %v", got)
	}
}
