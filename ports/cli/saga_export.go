package cli

import (
	"bufio"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"millrace/app/audit"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/sagas/replay"
)

func (p *program) sagaExport() *cobra.Command {
	c := &cobra.Command{
		Use:   "export ID... | --query QUERY",
		Short: "Write the histories of sagas to stdout, as a bundle",
		Long: `Write everything that reached the chosen sagas, and what they decided, as NDJSON: a header with the
format's version and counts, a line a saga, a line an entry, and a trailer with a SHA-256 over all of
it. A bundle that was cut or altered is refused by every verb that reads one.

--redact puts stand-ins in the place of user ids and payment data. The same value has the same
stand-in within one bundle, so that it replays as the original does.

--query takes the words of "millrace saga list"; the empty query is all.`,
		Example: "  millrace saga export ord_01k9zq6v3e7x > one.ndjson\n  millrace saga export --query 'since=1h status=FAILED' --redact > failed.ndjson",
		Args:    cobra.ArbitraryArgs,
	}
	where := p.whereFlag(c)
	query := c.Flags().String("query", "", "which sagas; the words of `millrace saga list`")
	redact := c.Flags().Bool("redact", false, "put stand-ins for user ids and payment data")
	c.RunE = func(c *cobra.Command, args []string) error {
		if (len(args) > 0) == c.Flags().Changed("query") {
			return errors.New("name orders, or choose them with --query, one of the two")
		}
		for _, id := range args {
			if _, err := order.ParseID(id); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
		}
		h, err := p.histories(c, where(), *query, args)
		if err != nil {
			return err
		}
		return errors.Join(export(p.Stdout, h, *redact), h.Close())
	}
	return c
}

// histories opens the journals that a verb's words choose. None at all is an error: whoever asked
// for some would take silence for an answer.
func (p *program) histories(c *cobra.Command, where Where, query string, orderIDs []string) (*Histories, error) {
	if p.Histories == nil {
		return nil, missing(c)
	}
	q := audit.Query{}
	var err error
	if len(orderIDs) == 0 {
		if q, err = parseQuery([]string{query}, p.Now()); err != nil {
			return nil, err
		}
	}
	h, err := p.Histories(c.Context(), where, q, orderIDs...)
	if err != nil {
		return nil, err
	}
	if h.Sagas == 0 {
		return nil, errors.Join(WithCode(Damaged, errors.New("the query chooses no saga that has begun and whose journal is here: `millrace saga list` shows what there is, `millrace saga show` in which file an archived journal is")), h.Close())
	}
	return h, nil
}

func export(to io.Writer, h *Histories, redact bool) error {
	bundle, err := replay.NewWriter(to, h.Sagas, h.Entries, redact)
	if err != nil {
		return err
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	for history, err := range h.All {
		if err != nil {
			return err
		}
		if redact {
			if history, err = replay.Redact(history, salt); err != nil {
				return WithCode(Damaged, fmt.Errorf("%w: export it without --redact and look at it with `millrace saga show`", err))
			}
		}
		if err := bundle.Write(history); err != nil {
			return err
		}
	}
	return bundle.Close()
}

// openBundle opens a bundle, or the archive of one, after it was read once to its end: of one that was
// cut or altered nothing is replayed.
func openBundle(path string) (*Histories, error) {
	whole, end, err := unpacked(path)
	if err != nil {
		return nil, err
	}
	_, err = checkBundle(whole)
	if err = errors.Join(err, end()); err != nil {
		return nil, damaged(path, err)
	}
	text, end, err := unpacked(path)
	if err != nil {
		return nil, err
	}
	bundle, err := replay.NewReader(text)
	if err != nil {
		return nil, errors.Join(damaged(path, err), end())
	}
	return &Histories{Sagas: bundle.Header.Sagas, Entries: bundle.Header.Entries, Redacted: bundle.Header.Redacted, All: bundle.Histories(), Close: end}, nil
}

// unpacked opens a file that may be compressed, as the archives of the retention are (RFC 1952).
func unpacked(path string) (io.Reader, func() error, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%q is no order's id, and no file that can be read: %w", path, err)
	}
	text := bufio.NewReader(file)
	if magic, _ := text.Peek(2); string(magic) != "\x1f\x8b" {
		return text, file.Close, nil
	}
	plain, err := gzip.NewReader(text)
	if err != nil {
		return nil, nil, errors.Join(damaged(path, replay.ErrBundle.Because(err)), file.Close())
	}
	return inflating{plain}, file.Close, nil
}

// inflating reads what is compressed; when that is damaged, so is the bundle.
type inflating struct{ from io.Reader }

// Read fails with replay.ErrBundle where the file is cut or altered.
func (i inflating) Read(to []byte) (int, error) {
	n, err := i.from.Read(to)
	if err != nil && !errors.Is(err, io.EOF) {
		err = replay.ErrBundle.Because(fmt.Errorf("it cannot be unpacked: %w", err))
	}
	return n, err
}

func checkBundle(from io.Reader) (replay.Header, error) {
	bundle, err := replay.NewReader(from)
	if err != nil {
		return replay.Header{}, err
	}
	for _, err := range bundle.Histories() {
		if err != nil {
			return bundle.Header, err
		}
	}
	return bundle.Header, nil
}

// damaged says where an error was met, a file or a corpus, and gives what is not whole its exit code.
func damaged(path string, err error) error {
	err = fmt.Errorf("%s: %w", path, err)
	if code := fault.CodeOf(err); code == replay.ErrBundle.Code || code == replay.ErrCorpus.Code {
		return WithCode(Damaged, err)
	}
	return err
}
