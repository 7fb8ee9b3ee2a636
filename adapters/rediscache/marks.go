package rediscache

import "context"

// Seen says whether a consumer is known to have handled a message. False says nothing: the inbox
// knows. It is not asked about a message that is sent again on purpose.
func (c *Cache) Seen(ctx context.Context, consumer, messageID string) bool {
	_, ok := c.get(ctx, markKey(consumer, messageID))
	return ok
}

// Mark remembers that a consumer has handled a message. It is called after the commit, never
// before it, and does not wait for Redis.
func (c *Cache) Mark(_ context.Context, consumer, messageID string) {
	c.writes.put(entry{key: markKey(consumer, messageID), value: []byte("1"), ttl: c.markTTL})
}

func markKey(consumer, messageID string) string { return "dedupe:" + consumer + ":" + messageID }
