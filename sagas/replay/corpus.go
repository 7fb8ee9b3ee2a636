package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"millrace/domain/fault"
)

// CorpusSums is the file of a corpus that names every bundle of it with its SHA-256, a line each,
// as sha256sum writes them.
const CorpusSums = "SHA256SUMS"

// ErrCorpus: the corpus is empty, or something that belongs to it is gone, altered or not shown.
var ErrCorpus = fault.New(fault.Invalid, "corpus_thinned", "the corpus of histories is not whole")

// SumsOf gives the text of CorpusSums for the bundles that lie in a folder now.
func SumsOf(dir fs.FS) ([]byte, error) {
	names, err := fs.Glob(dir, "*.ndjson") // sorted
	if err != nil {
		return nil, fmt.Errorf("list the corpus: %w", err)
	}
	var out bytes.Buffer
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("read the corpus: %w", err)
		}
		sum := sha256.Sum256(text)
		fmt.Fprintf(&out, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	return out.Bytes(), nil
}

// CheckCorpus replays every bundle of a folder strictly and hands on the results. It fails with
// ErrCorpus when there is none, when the bundles are not exactly those of CorpusSums, or when
// together, and those of real runs alone, they do not show everything that Wanted lists. A result that is
// not OK is no error.
func CheckCorpus(dir fs.FS, o Options, report func(bundle string, r Result) error) (Summary, error) {
	var sum Summary
	listed, err := fs.ReadFile(dir, CorpusSums)
	if err != nil {
		return sum, ErrCorpus.Because(fmt.Errorf("%s cannot be read: %w", CorpusSums, err))
	}
	now, err := SumsOf(dir)
	if err != nil {
		return sum, err
	}
	if err := sameBundles(string(listed), string(now)); err != nil {
		return sum, err
	}
	var shown, ofRuns Coverage
	for _, line := range strings.Split(strings.TrimSpace(string(now)), "\n") {
		_, name, _ := strings.Cut(line, "  ")
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return sum, fmt.Errorf("read the corpus: %w", err)
		}
		bundle, err := NewReader(bytes.NewReader(text))
		if err != nil {
			return sum, fmt.Errorf("%s: %w", name, err)
		}
		seen := func(yield func(History, error) bool) {
			for h, err := range bundle.Histories() {
				if err == nil {
					shown.Add(h)
					if h.OfRun() {
						ofRuns.Add(h)
					}
				}
				if !yield(h, err) {
					return
				}
			}
		}
		_, err = Run(seen, o, func(r Result) error {
			sum.Add(r)
			return report(name, r)
		})
		if err != nil {
			return sum, fmt.Errorf("%s: %w", name, err)
		}
	}
	if missing := shown.Missing(); len(missing) > 0 {
		return sum, ErrCorpus.Because(fmt.Errorf("no history in it shows: %s", strings.Join(missing, "; ")))
	}
	if missing := ofRuns.Missing(); len(missing) > 0 {
		return sum, ErrCorpus.Because(fmt.Errorf("no history of a real run shows: %s: collect some by `make chaos CORPUS=DIR`, and those with acts as docs/replay.md says", strings.Join(missing, "; ")))
	}
	return sum, nil
}

// CheckListed fails with ErrCorpus when a bundle that CorpusSums lists is gone or altered, or when bundles lie
// there and no list does. Those that are not listed yet are let be, and so is a folder that is new.
func CheckListed(dir fs.FS) error {
	now, err := SumsOf(dir)
	if err != nil {
		return err
	}
	listed, err := fs.ReadFile(dir, CorpusSums)
	if errors.Is(err, fs.ErrNotExist) && len(now) == 0 {
		return nil
	}
	if err != nil {
		return ErrCorpus.Because(fmt.Errorf("%s cannot be read: %w", CorpusSums, err))
	}
	_, err = unlisted(string(listed), string(now))
	return err
}

// sameBundles compares what is listed with what lies there.
func sameBundles(listed, now string) error {
	if strings.TrimSpace(now) == "" {
		return ErrCorpus.Because(errors.New("it is empty"))
	}
	left, err := unlisted(listed, now)
	if err != nil {
		return err
	}
	for name := range left {
		return ErrCorpus.Because(fmt.Errorf("%s is not listed in %s: add it by `millrace saga corpus add`", name, CorpusSums))
	}
	return nil
}

// unlisted gives what lies there and is not listed, once what is listed lies there as it was.
func unlisted(listed, now string) (map[string]string, error) {
	lies := map[string]string{}
	for line := range strings.Lines(now) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		lies[name] = sum
	}
	for line := range strings.Lines(strings.TrimSpace(listed)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		switch is, there := lies[name]; {
		case !there:
			return nil, ErrCorpus.Because(fmt.Errorf("%s is gone", name))
		case is != sum:
			return nil, ErrCorpus.Because(fmt.Errorf("%s was altered", name))
		}
		delete(lies, name)
	}
	return lies, nil
}
