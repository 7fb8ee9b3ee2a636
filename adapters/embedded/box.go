package embedded

import (
	"bytes"
	"errors"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
)

const (
	incoming   = ".incoming-" // prefix of a letter that is still being written
	extension  = ".eml"
	maxIDBytes = 180 // of a Message-ID in a file's name; file systems end at 255
)

// box is a folder of letters.
type box struct {
	path string
	dir  *os.File // to make new names durable

	mu sync.Mutex // one delivery at a time chooses its name
}

func openBox(path string) (*box, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	rests, err := filepath.Glob(filepath.Join(path, incoming+"*"))
	if err != nil {
		return nil, err
	}
	for _, rest := range rests { // a crash cut it short; its sender got no yes
		if err := os.Remove(rest); err != nil {
			return nil, err
		}
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &box{path: path, dir: dir}, nil
}

func (b *box) close() error { return b.dir.Close() }

// deliver returns when the letter is on disk under its name.
func (b *box) deliver(letter []byte) error {
	temporary, err := b.write(letter)
	if err != nil {
		return errors.Join(err, gone(temporary))
	}
	if err := b.name(temporary, fileStem(letter)); err != nil {
		return errors.Join(err, gone(temporary))
	}
	return b.dir.Sync()
}

func (b *box) write(letter []byte) (path string, err error) {
	f, err := os.CreateTemp(b.path, incoming+"*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(letter)
	return f.Name(), errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
}

func gone(path string) error {
	if err := os.Remove(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (b *box) name(temporary, stem string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := 1; ; n++ {
		path := filepath.Join(b.path, fileName(stem, n))
		switch _, err := os.Lstat(path); {
		case errors.Is(err, fs.ErrNotExist):
			return os.Rename(temporary, path)
		case err != nil:
			return err
		}
	}
}

func fileName(stem string, n int) string {
	if n > 1 {
		stem += "." + strconv.Itoa(n)
	}
	return stem + extension
}

// fileStem makes a file name of the Message-ID; a letter without one gets a name of its own.
func fileStem(letter []byte) string {
	var id string
	if head, err := mail.ReadMessage(bytes.NewReader(letter)); err == nil {
		id = messageID(head.Header)
	}
	if id == "" {
		return "no-message-id-" + uuid.NewString()
	}
	safe := func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._@+-=", r):
			return r
		}
		return '_'
	}
	id = strings.Map(safe, id)
	if id[0] == '.' {
		id = "_" + id[1:]
	}
	return id[:min(len(id), maxIDBytes)]
}

func messageID(h mail.Header) string {
	return strings.Trim(strings.TrimSpace(h.Get("Message-ID")), "<>")
}
