package archive

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"millrace/adapters/sqldb"
	"millrace/app/audit"
	"millrace/sagas/replay"
)

const (
	prefix     = "sagas-"
	suffix     = ".ndjson.gz"
	unfinished = ".part" // of a file that is being written
)

// everySaga restricts nothing: the orders are named.
var everySaga = audit.Query{}

// write makes a file of histories, which is there under its name only when all of it is on the disk.
// It gives the name, which is the time and the first order.
func (r *Retention) write(all []replay.History) (string, error) {
	entries := 0
	for _, h := range all {
		entries += len(h.Entries)
	}
	file, err := os.CreateTemp(r.Dir, prefix+"*"+unfinished)
	if err != nil {
		return "", err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name()) // it has another name when all went well
	}()
	packed := gzip.NewWriter(file)
	bundle, err := replay.NewWriter(packed, len(all), entries, false)
	if err != nil {
		return "", err
	}
	for _, h := range all {
		if err := bundle.Write(h); err != nil {
			return "", err
		}
	}
	if err := errors.Join(bundle.Close(), packed.Close(), file.Chmod(0o640), file.Sync()); err != nil {
		return "", fmt.Errorf("write the archive: %w", err)
	}
	name := prefix + r.Now().UTC().Format("20060102T150405.000000Z") + "-" + all[0].Saga.OrderID + suffix
	to := filepath.Join(r.Dir, name)
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("write the archive: %s is there already", to)
	}
	if err := os.Rename(file.Name(), to); err != nil {
		return "", fmt.Errorf("write the archive: %w", err)
	}
	return name, r.sync(r.Dir)
}

// syncDir brings the names in a folder to the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// finishEarlier deletes from the database what a run that was killed has put into a file, and files that
// it did not come to the end of. A file that no saga is noted in, because all have moved since, stays. That
// run may have died before the file's name was on the disk: names are brought there first.
func (r *Retention) finishEarlier(ctx context.Context, done *Done) error {
	if err := r.sync(r.Dir); err != nil {
		return fmt.Errorf("keep what lies in %s: %w", r.Dir, err)
	}
	lies, err := os.ReadDir(r.Dir)
	if err != nil {
		return err
	}
	var noted []string
	if err := r.DB.Read.SelectContext(ctx, &noted, "SELECT DISTINCT file FROM saga_archives"); err != nil {
		return sqldb.Classify(err)
	}
	known := map[string]bool{}
	for _, name := range noted {
		known[name] = true
	}
	for _, f := range lies {
		switch name := f.Name(); {
		case !strings.HasPrefix(name, prefix): // not ours
		case strings.HasSuffix(name, unfinished):
			if err := os.Remove(filepath.Join(r.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		case strings.HasSuffix(name, suffix) && !known[name]:
			all, err := load(filepath.Join(r.Dir, name))
			if err != nil {
				return fmt.Errorf("%s in %s holds nothing that was deleted: move it away: %w", name, r.Dir, err)
			}
			if err := r.remove(ctx, name, all, done); err != nil {
				return err
			}
		}
	}
	return nil
}

// load reads a file to its end. It fails unless all of it is whole: nothing may be deleted on the word of
// another one.
func load(path string) ([]replay.History, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("it is not compressed as an archive is: %w", err)
	}
	bundle, err := replay.NewReader(unpacked)
	if err != nil {
		return nil, err
	}
	var all []replay.History
	for h, err := range bundle.Histories() {
		if err == nil {
			err = replay.Whole(h)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	_, err = io.Copy(io.Discard, unpacked) // its own checksum stands at the end
	return all, err
}
