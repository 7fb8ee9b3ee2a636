package outbox

import "github.com/ThreeDotsLabs/watermill/message"

// roomy grows the stack of the goroutine that the forwarder's router starts for a message to 16 KiB at
// once, as ports/messaging does for a consumer's, and for the same reason.
func roomy(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		makeRoom(len(msg.UUID))
		return next(msg)
	}
}

// makeRoom uses a byte of the room that the compiler cannot know, or it would need none.
//
//go:noinline
func makeRoom(at int) byte {
	var room [9 << 10]byte
	room[at%len(room)] = 1
	return room[len(room)-1]
}
