package replay

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"

	"millrace/domain/fault"
)

// Format and FormatVersion name what a bundle is. A reader takes its own version only.
const (
	Format        = "millrace.saga.bundle"
	FormatVersion = 1
)

// ErrBundle: the bundle is empty, cut, altered or not one of ours. Nothing that was read of it
// can be relied on.
var ErrBundle = fault.New(fault.Invalid, "bundle_damaged", "the bundle is damaged or incomplete: export it again")

// Header is the first line of a bundle.
type Header struct {
	Format   string `json:"format"`
	Version  int    `json:"version"`
	Sagas    int    `json:"sagas"`   // how many follow
	Entries  int    `json:"entries"` // of all of them
	Redacted bool   `json:"redacted"`
}

// Trailer is the last line: what was written, and the SHA-256 of every byte before the line.
type Trailer struct {
	Sagas   int    `json:"sagas"`
	Entries int    `json:"entries"`
	SHA256  string `json:"sha256"`
}

// line is a line between the first and the end; it has one of the three.
type line struct {
	Saga    *Saga    `json:"saga,omitempty"`
	Entry   *hashed  `json:"entry,omitempty"`
	Trailer *Trailer `json:"trailer,omitempty"`
}

// hashed is an entry with its hash beside it.
type hashed struct {
	Entry
	Hash string `json:"hash"`
}

// Writer writes a bundle: NDJSON of a header, a line a saga with a line an entry behind it, and a
// trailer. A bundle is whole only when Close has returned nil.
type Writer struct {
	out     *bufio.Writer
	sum     hash.Hash
	header  Header
	sagas   int
	entries int
}

// NewWriter begins a bundle of as many sagas and entries as the caller is going to write.
func NewWriter(w io.Writer, sagas, entries int, redacted bool) (*Writer, error) {
	b := &Writer{out: bufio.NewWriter(w), sum: sha256.New(), header: Header{Format, FormatVersion, sagas, entries, redacted}}
	return b, b.line(b.header)
}

// Write adds a history.
func (b *Writer) Write(h History) error {
	if err := b.line(line{Saga: &h.Saga}); err != nil {
		return err
	}
	for _, e := range h.Entries {
		if err := b.line(line{Entry: &hashed{e, e.Hash}}); err != nil {
			return err
		}
	}
	b.sagas++
	b.entries += len(h.Entries)
	return nil
}

// Close writes the trailer. It fails when more or less was written than was announced.
func (b *Writer) Close() error {
	if b.sagas != b.header.Sagas || b.entries != b.header.Entries {
		return fmt.Errorf("bundle: %d sagas with %d entries were announced, %d with %d written", b.header.Sagas, b.header.Entries, b.sagas, b.entries)
	}
	if err := b.line(line{Trailer: &Trailer{b.sagas, b.entries, hex.EncodeToString(b.sum.Sum(nil))}}); err != nil {
		return err
	}
	if err := b.out.Flush(); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

func (b *Writer) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a line of the bundle: %w", err)
	}
	text = append(text, '\n')
	b.sum.Write(text)
	if _, err := b.out.Write(text); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// Reader reads a bundle.
type Reader struct {
	Header Header
	in     *bufio.Reader
	sum    hash.Hash
	at     int // number of the line that was read last
}

// NewReader reads the header. It fails with ErrBundle.
func NewReader(r io.Reader) (*Reader, error) {
	b := &Reader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	text, err := b.next()
	if errors.Is(err, io.EOF) {
		return nil, ErrBundle.Because(errors.New("it is empty"))
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &b.Header); err != nil || b.Header.Format != Format {
		return nil, ErrBundle.Because(errors.New("its first line is not the header of a bundle"))
	}
	b.sum.Write(text)
	switch {
	case b.Header.Version != FormatVersion:
		return nil, ErrBundle.Because(fmt.Errorf("it has format version %d, this build reads %d", b.Header.Version, FormatVersion))
	case b.Header.Sagas < 1:
		return nil, ErrBundle.Because(errors.New("it holds no saga"))
	}
	return b, nil
}

// Histories gives one history after another and holds one at a time. It ends with an error, which
// is ErrBundle, unless the trailer is there, fits, and is the end. What came before the error was
// read of a bundle that cannot be trusted.
func (b *Reader) Histories() iter.Seq2[History, error] {
	return func(yield func(History, error) bool) {
		var h History
		var begun bool
		var sagas, entries int
		for {
			l, err := b.line()
			switch {
			case err != nil:
				yield(History{}, err)
				return
			case l.Entry != nil && begun:
				entries++
				h.Entries = append(h.Entries, l.Entry.Entry)
				h.Entries[len(h.Entries)-1].Hash = l.Entry.Hash
				continue
			case l.Entry != nil:
				yield(History{}, b.damaged("an entry stands before its saga"))
				return
			}
			if begun && !yield(h, nil) {
				return
			}
			if l.Trailer != nil {
				if err := b.end(*l.Trailer, sagas, entries); err != nil {
					yield(History{}, err)
				}
				return
			}
			sagas++
			h, begun = History{Saga: *l.Saga}, true
		}
	}
}

// line reads a line behind the header. The trailer is not part of its own sum.
func (b *Reader) line() (line, error) {
	text, err := b.next()
	if errors.Is(err, io.EOF) {
		return line{}, ErrBundle.Because(fmt.Errorf("it was cut after line %d", b.at))
	}
	if err != nil {
		return line{}, err
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return line{}, b.damaged("it is not JSON of a bundle")
	}
	given := 0
	for _, is := range []bool{l.Saga != nil, l.Entry != nil, l.Trailer != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return line{}, b.damaged("it is neither a saga nor an entry nor the end")
	}
	if l.Trailer == nil {
		b.sum.Write(text)
	}
	return l, nil
}

func (b *Reader) end(t Trailer, sagas, entries int) error {
	if _, err := b.next(); !errors.Is(err, io.EOF) {
		return b.damaged("something stands behind the end")
	}
	switch {
	case t.Sagas != sagas || t.Entries != entries || b.Header.Sagas != sagas || b.Header.Entries != entries:
		return ErrBundle.Because(fmt.Errorf("%d sagas with %d entries are in it, its first line says %d with %d", sagas, entries, b.Header.Sagas, b.Header.Entries))
	case t.SHA256 != hex.EncodeToString(b.sum.Sum(nil)):
		return ErrBundle.Because(errors.New("its checksum does not fit: it was altered"))
	}
	return nil
}

// next reads a whole line with its end. A last line without one was cut.
func (b *Reader) next() ([]byte, error) {
	text, err := b.in.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && len(text) > 0:
		return nil, ErrBundle.Because(fmt.Errorf("it was cut in line %d", b.at+1))
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	b.at++
	return text, err
}

func (b *Reader) damaged(why string) error {
	return ErrBundle.Because(fmt.Errorf("line %d: %s", b.at, why))
}
