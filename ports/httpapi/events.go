package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	ordering "millrace/app/order"
	"millrace/domain/fault"
	"millrace/domain/order"
	"millrace/ports/httpapi/contract"
)

const (
	// keepAlive is how long a stream is silent at most: less than proxies let a connection idle.
	keepAlive = 15 * time.Second
	// comeAgain is what a reader is told to wait, in milliseconds, before it asks for the rest of a stream.
	comeAgain = 2000
	// placeAfter is when one who found no place may try again: most orders end within seconds.
	placeAfter = 5 * time.Second
)

// FollowOrder is the use case of that name.
type FollowOrder interface {
	Handle(ctx context.Context, caller ordering.Caller, id order.ID, after int) (news <-chan ordering.Progress, leave func(), err error)
}

type events struct {
	OrdersConfig
	problems
}

// FollowOrder answers GET /api/v1/orders/{orderId}/events with server-sent events. It returns when the order has
// ended, when its reader has gone or may be told no more, and when the server stops.
func (s events) FollowOrder(c *gin.Context, orderID string) {
	id, idErr := parseID(orderID)
	after, afterErr := lastEventID(c.Request.Header)
	if err := errors.Join(idErr, afterErr); err != nil {
		s.write(c, err)
		return
	}
	caller := s.caller(c)
	opening, cancel := context.WithTimeout(c.Request.Context(), requestLimit)
	news, leave, err := s.Follow.Handle(opening, caller, id, after)
	cancel()
	if errors.Is(err, ordering.ErrTooManyStreams) {
		err = later{err, placeAfter}
	}
	if err != nil {
		s.write(c, err)
		return
	}
	defer leave()
	c.Header("Content-Type", streamType)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no")
	out := newStream(c)
	defer out.close()
	out.WriteHeader(http.StatusOK)
	if c.Request.Method == http.MethodHead {
		return
	}
	ctx, end := untilStop(c.Request.Context())
	defer end()
	if at, ends := caller.Ends(); ends { // the reader comes again, with a new token
		within, cancel := context.WithDeadline(ctx, at)
		defer cancel()
		ctx = within
	}
	tell(ctx, out, news)
}

// tell writes news as they come. Whoever does not read them has gone.
func tell(ctx context.Context, out *stream, news <-chan ordering.Progress) {
	if out.send(fmt.Appendf(nil, "retry: %d\n\n", comeAgain)) != nil {
		return
	}
	silence := time.NewTimer(keepAlive)
	defer silence.Stop()
	for ended := false; !ended; silence.Reset(keepAlive) {
		var piece []byte
		select {
		case <-ctx.Done():
			return
		case <-silence.C:
			piece = []byte(": nothing new\n\n")
		case p := <-news:
			piece, ended = eventsOf(p), p.Ended()
		}
		if len(piece) > 0 && out.send(piece) != nil {
			return
		}
	}
}

// eventsOf is an event for each entry, and the end where it is one. The end has no id, so that whoever asks again after
// it is given another one.
func eventsOf(p ordering.Progress) []byte {
	var b []byte
	for _, e := range p.Entries {
		b = fmt.Appendf(b, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Event, dataOf(entryJSON(e)))
	}
	if p.Ended() {
		b = fmt.Appendf(b, "event: end\ndata: %s\n\n", dataOf(contract.OrderEnd{
			OrderId: string(p.ID), Status: contract.OrderStatus(p.Status.String()), Reason: reasonJSON(p.Reason),
		}))
	}
	return b
}

// dataOf is one of the contract's models on one line.
func dataOf(model any) []byte {
	line, _ := json.Marshal(model) // models hold nothing that cannot be encoded
	return line
}

// lastEventID reads the header of that name: the seq of the last entry that the reader has, 0 for none.
func lastEventID(h http.Header) (int, error) {
	values := h.Values("Last-Event-ID")
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return 0, nil
	}
	seq, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil || len(values) > 1 {
		return 0, fault.Invalidf("invalid_last_event_id", "Last-Event-ID", "Last-Event-ID must be the id of an event of this stream, a whole number, once")
	}
	return int(seq), nil
}
