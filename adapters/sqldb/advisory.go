package sqldb

import "hash/fnv"

// AdvisoryKey numbers PostgreSQL's advisory lock of that name. They are one space of numbers for all schemas of a
// database, so a name says what the lock is for and of which schema it is.
func AdvisoryKey(name string) int64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(name)) // a hash takes everything
	return int64(hash.Sum64())      //nolint:gosec // any 64 bits will do
}
