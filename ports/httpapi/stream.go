package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	streamType = "text/event-stream"
	// sendLimit is how long one write of a stream may wait for its reader.
	sendLimit = 10 * time.Second
	// begunKey is where observed finds when a stream began, routeKey what to call its route.
	begunKey, routeKey = "stream begun", "stream route"
)

// errStopping ends a stream whose reader is still there.
var errStopping = errors.New("the server is stopping")

// stream writes an answer that lasts as long as it likes: instead of the server's limit for writing the whole of it, each
// write has one of its own, so that a reader that is dead is let go.
type stream struct {
	http.ResponseWriter
	c       *gin.Context
	control *http.ResponseController
	begun   func() // is called when the answer begins; may be nil
}

func newStream(c *gin.Context) *stream {
	return &stream{ResponseWriter: c.Writer, c: c, control: http.NewResponseController(c.Writer)}
}

// patience begins the limit anew. What knows no deadlines has none.
func (s *stream) patience() { _ = s.control.SetWriteDeadline(time.Now().Add(sendLimit)) }

// WriteHeader begins the answer, unless the status is a 1xx, which only says that there will be one.
func (s *stream) WriteHeader(status int) {
	if status >= http.StatusOK {
		s.c.Set(begunKey, time.Now())
		if s.begun != nil {
			s.begun()
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write writes a piece, which may stay here until it is flushed.
func (s *stream) Write(piece []byte) (int, error) {
	s.patience()
	return s.ResponseWriter.Write(piece)
}

// send writes a piece that its reader has at once.
func (s *stream) send(piece []byte) error {
	if _, err := s.Write(piece); err != nil {
		return err
	}
	return s.control.Flush()
}

// Unwrap is for http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// close lets the server write the end of the answer.
func (s *stream) close() { s.patience() }

// servingKey is where a request finds the context of the server that it came to.
type servingKey struct{}

// untilStop gives a context that ends with the request, or, with errStopping as its cause, when the server begins to
// stop: a stream would keep it from that for as long as it lasts.
func untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	until, cancel := context.WithCancelCause(ctx)
	serving, ok := ctx.Value(servingKey{}).(context.Context)
	if !ok {
		return until, func() { cancel(nil) }
	}
	forget := context.AfterFunc(serving, func() { cancel(errStopping) })
	return until, func() { forget(); cancel(nil) }
}

// begunWithin is untilStop for a stream of another server's: it also ends, with context.DeadlineExceeded as its cause,
// unless begun is called in time. 0 sets no limit.
func begunWithin(ctx context.Context, limit time.Duration) (until context.Context, begun func(), end context.CancelFunc) {
	stopped, forget := untilStop(ctx)
	if limit == 0 {
		return stopped, func() {}, forget
	}
	until, late := context.WithCancelCause(stopped)
	timer := time.AfterFunc(limit, func() { late(context.DeadlineExceeded) })
	return until, func() { timer.Stop() }, func() { timer.Stop(); late(nil); forget() }
}

// whole is the body of a stream on its way through the gateway. When the gateway stops it is at its end, where it would
// otherwise be broken off: to its reader that is as if the service had stopped.
type whole struct {
	io.ReadCloser
	until context.Context
}

// Read reads.
func (w whole) Read(into []byte) (int, error) {
	n, err := w.ReadCloser.Read(into)
	if err != nil && errors.Is(context.Cause(w.until), errStopping) {
		err = io.EOF
	}
	return n, err
}
