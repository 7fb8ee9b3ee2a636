package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"millrace/sagas/replay"
)

// pick keeps of a bundle what the corpus does not show yet, under the bundle's name, and says whether there
// was anything.
func (p *program) pick(dir, path string) (bool, error) {
	shown, err := replay.OfRuns(os.DirFS(dir))
	if err != nil {
		return false, damaged(dir, err)
	}
	h, err := openBundle(path)
	if err != nil {
		return false, err
	}
	if !h.Redacted {
		return false, errors.Join(WithCode(Refused, fmt.Errorf("%s: export it with --redact: what lies in the corpus is read by everybody", path)), h.Close())
	}
	picked, err := replay.Pick(h.All, shown)
	if err = errors.Join(err, h.Close()); err != nil {
		return false, damaged(path, err)
	}
	if len(picked) == 0 {
		fmt.Fprintf(p.Stderr, "%s shows nothing that the corpus does not show yet\n", path)
		return false, nil
	}
	text, err := bundled(picked)
	if err != nil {
		return false, err
	}
	folder, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	small := filepath.Join(folder, filepath.Base(path))
	if err := os.WriteFile(small, text, 0o600); err != nil {
		return false, err
	}
	if !p.json {
		fmt.Fprintf(p.Stdout, "%d of the %d sagas in %s are picked\n", len(picked), h.Sagas, path)
	}
	return true, p.keep(dir, small)
}

// bundled writes histories that are redacted already.
func bundled(all []replay.History) ([]byte, error) {
	entries := 0
	for _, h := range all {
		entries += len(h.Entries)
	}
	var out bytes.Buffer
	w, err := replay.NewWriter(&out, len(all), entries, true)
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		if err := w.Write(h); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return out.Bytes(), err
}
