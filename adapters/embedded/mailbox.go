package embedded

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const latest = 100 // letters shown when no order is named

// MailItem is one letter in the mailbox, however often it was delivered.
type MailItem struct {
	MessageID  string    `json:"messageId"`
	To         string    `json:"to"`
	Subject    string    `json:"subject"`
	OrderID    string    `json:"orderId"`
	ReceivedAt time.Time `json:"receivedAt"` // of the first delivery
	Deliveries int       `json:"deliveries"`
}

// Mailbox gives the letters about an order, oldest first: those whose Message-ID begins with the
// order's id and a dot, and whose X-Order-ID says the same. With "" it gives the last hundred of
// all. It reads the folder, so that no index grows with the number of letters.
func (m *Mail) Mailbox(orderID string) ([]MailItem, error) {
	items, err := m.box.items(orderID)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	return items, nil
}

func (b *box) items(orderID string) ([]MailItem, error) {
	names, err := b.names(orderID)
	if err != nil {
		return nil, err
	}
	found := map[string]*MailItem{}
	for _, name := range names {
		item, err := b.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		if orderID != "" && item.OrderID != orderID {
			continue
		}
		if first, ok := found[item.MessageID]; ok {
			first.Deliveries++
			if item.ReceivedAt.Before(first.ReceivedAt) {
				first.ReceivedAt = item.ReceivedAt
			}
			continue
		}
		found[item.MessageID] = &item
	}
	items := make([]MailItem, 0, len(found))
	for _, item := range found {
		items = append(items, *item)
	}
	slices.SortFunc(items, func(x, y MailItem) int {
		return cmp.Or(x.ReceivedAt.Compare(y.ReceivedAt), cmp.Compare(x.MessageID, y.MessageID))
	})
	return items, nil
}

// names lists the files of an order's letters, or the last of all: orders' ids are time-ordered,
// and so are the names.
func (b *box) names(orderID string) ([]string, error) {
	dir, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer dir.Close() // it was only read
	var names []string
	for {
		some, err := dir.Readdirnames(1000)
		for _, name := range some {
			if !strings.HasSuffix(name, extension) || name[0] == '.' || orderID != "" && !strings.HasPrefix(name, orderID+".") {
				continue
			}
			names = append(names, name)
		}
		if orderID == "" && len(names) > 10*latest {
			names = last(names)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if orderID == "" {
		names = last(names)
	}
	return names, nil
}

func last(names []string) []string {
	slices.Sort(names)
	return slices.Clone(names[max(0, len(names)-latest):])
}

func (b *box) read(name string) (MailItem, error) {
	f, err := os.Open(filepath.Join(b.path, name))
	if err != nil {
		return MailItem{}, err
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return MailItem{}, err
	}
	item := MailItem{MessageID: strings.TrimSuffix(name, extension), ReceivedAt: info.ModTime().UTC(), Deliveries: 1}
	letter, err := mail.ReadMessage(bufio.NewReader(f))
	if err != nil {
		return item, nil // whatever it is, it was delivered
	}
	item.MessageID = cmp.Or(messageID(letter.Header), item.MessageID)
	item.OrderID = letter.Header.Get("X-Order-ID")
	item.To = letter.Header.Get("To")
	if to, err := letter.Header.AddressList("To"); err == nil && len(to) > 0 {
		item.To = to[0].Address
	}
	item.Subject = letter.Header.Get("Subject")
	if plain, err := new(mime.WordDecoder).DecodeHeader(item.Subject); err == nil {
		item.Subject = plain
	}
	return item, nil
}
