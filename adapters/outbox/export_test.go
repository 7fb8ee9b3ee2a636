package outbox

// LockKey is the key of a schema's advisory lock, for tests that take it away.
func LockKey(schema string) int64 { return lockKey(schema) }

// MarkAfter is how long a row in Kafka waits for others to be marked with.
const MarkAfter = markAfter
