package sqldb

import (
	"context"
	"time"
)

// Prune runs a DELETE that takes away at most size rows, its last parameter, until there are none
// left, and tells how many went. Behind each run it pauses for as long as the run took, so that
// cleaning up has half of the database at most, however much there is to clean. It may be stopped at
// any time.
func (d *DB) Prune(ctx context.Context, query string, size int64, args ...any) (int64, error) {
	query = d.Rebind(query)
	args = append(args, size)
	for total := int64(0); ; {
		begun := time.Now() // a duration, not a time of day
		result, err := d.ExecContext(ctx, query, args...)
		if err != nil {
			return total, Classify(err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, err
		}
		if total += n; n < size {
			return total, nil
		}
		pause := time.NewTimer(time.Since(begun))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return total, ctx.Err()
		}
	}
}
