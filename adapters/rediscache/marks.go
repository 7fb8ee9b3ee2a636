package rediscache

import (
	"context"

	"millrace/app/messages"
)

// Seen says of each delivery whether its consumer is known to have handled its message, in one
// round trip. False says nothing: the inbox knows. It is not asked about a message that is sent
// again on purpose.
func (c *Cache) Seen(ctx context.Context, causes []messages.Cause) []bool {
	keys := make([]string, len(causes))
	for i, cause := range causes {
		keys[i] = markKey(cause)
	}
	return c.exist(ctx, keys)
}

// Mark remembers that consumers have handled messages. It is called after the commit, never
// before it, and does not wait for Redis.
func (c *Cache) Mark(causes []messages.Cause) {
	for _, cause := range causes {
		c.writes.put(entry{key: markKey(cause), value: []byte("1"), ttl: c.markTTL})
	}
}

func markKey(cause messages.Cause) string { return "dedupe:" + cause.Consumer + ":" + cause.MessageID }
