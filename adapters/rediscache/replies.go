package rediscache

import (
	"context"
	"encoding/json"

	"millrace/app/order"
)

// storedReply is a reply as it lies under idem:<userId>:<key>.
type storedReply struct {
	RequestHash string `json:"requestHash"`
	Status      int    `json:"status"`
	Body        []byte `json:"body"`
	OrderID     string `json:"orderId"`
}

// Get gives the cached reply of a key. False says nothing: the database knows.
func (c *Cache) Get(ctx context.Context, key order.Key) (*order.Reply, bool) {
	value, ok := c.get(ctx, replyKey(key))
	if !ok {
		return nil, false
	}
	var s storedReply
	if err := json.Unmarshal(value, &s); err != nil || s.RequestHash == "" || s.OrderID == "" {
		return nil, false // not ours, or damaged
	}
	return &order.Reply{Key: key, RequestHash: s.RequestHash, Status: s.Status, Body: s.Body, OrderID: s.OrderID}, true
}

// Put caches a reply that has been committed. It does not wait for Redis.
func (c *Cache) Put(_ context.Context, r order.Reply) {
	value, err := json.Marshal(storedReply{RequestHash: r.RequestHash, Status: r.Status, Body: r.Body, OrderID: r.OrderID})
	if err != nil {
		return
	}
	c.writes.put(entry{key: replyKey(r.Key), value: value, ttl: c.replyTTL})
}

// replyKey is unambiguous because no user id has a colon in it.
func replyKey(k order.Key) string { return "idem:" + k.UserID + ":" + k.Key }
