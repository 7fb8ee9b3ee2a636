package rediscache

import (
	"sync"
	"time"
)

const (
	queued  = 4096 // entries that wait; more are dropped
	batched = 256  // entries that are written in one round trip
)

// entry is one key to be set.
type entry struct {
	key   string
	value []byte
	ttl   time.Duration
}

// writer sets keys behind the back of whoever hands them over: nobody waits for Redis to learn
// what the database knows.
type writer struct {
	queue chan entry // never closed: work that ends late may still put
	send  func([]entry)
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
}

func startWriter(send func([]entry)) *writer {
	w := &writer{queue: make(chan entry, queued), send: send, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// put hands an entry over, or drops it where too many wait. It never waits.
func (w *writer) put(e entry) {
	select {
	case w.queue <- e:
	default:
	}
}

func (w *writer) run() {
	defer close(w.done)
	batch := make([]entry, 0, batched)
	for {
		select {
		case e := <-w.queue:
			batch = w.gather(append(batch[:0], e))
			w.send(batch)
		case <-w.stop:
			for batch = w.gather(batch[:0]); len(batch) > 0; batch = w.gather(batch[:0]) {
				w.send(batch)
			}
			return
		}
	}
}

// gather adds what is queued by now.
func (w *writer) gather(batch []entry) []entry {
	for len(batch) < batched {
		select {
		case e := <-w.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// close writes what is queued and ends. What is put afterwards is forgotten.
func (w *writer) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.done
}
