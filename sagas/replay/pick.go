package replay

import (
	"cmp"
	"io/fs"
	"iter"
	"slices"
)

// OfRuns gives what the histories of real runs in a corpus show. A folder without bundles shows nothing.
func OfRuns(dir fs.FS) (Coverage, error) {
	var shown Coverage
	names, err := fs.Glob(dir, "*.ndjson")
	if err != nil {
		return shown, err
	}
	for _, name := range names {
		file, err := dir.Open(name)
		if err != nil {
			return shown, err
		}
		bundle, err := NewReader(file)
		if err == nil {
			for h, bad := range bundle.Histories() {
				if err = bad; err == nil && h.OfRun() {
					shown.Add(h)
				}
			}
		}
		if closing := file.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return shown, err
		}
	}
	return shown, nil
}

// Pick chooses from a stream the histories that show what is not shown yet, as few entries as will do, by
// order id. It holds no more of them than there are things to show, and ends with the first error of the
// stream. Staged histories and those that are archived in part are passed over.
func Pick(histories iter.Seq2[History, error], shown Coverage) ([]History, error) {
	wanted := shown.Missing()
	shortest := map[string]History{} // by what it shows
	for h, err := range histories {
		if err != nil {
			return nil, err
		}
		if !h.OfRun() || h.Saga.Archived != nil {
			continue
		}
		var shows Coverage
		shows.Add(h)
		for _, one := range wanted {
			if best, known := shortest[one]; shows.seen[one] && (!known || len(h.Entries) < len(best.Entries)) {
				shortest[one] = h
			}
		}
	}
	var picked []History
	var covered Coverage
	for _, one := range wanted {
		h, found := shortest[one]
		if !found || covered.seen[one] {
			continue
		}
		covered.Add(h)
		picked = append(picked, h)
	}
	slices.SortFunc(picked, func(a, b History) int { return cmp.Compare(a.Saga.OrderID, b.Saga.OrderID) })
	return picked, nil
}
