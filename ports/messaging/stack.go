package messaging

import "github.com/ThreeDotsLabs/watermill/message"

// stackRoom is more than half of 16 KiB, so that the stack which has this room is that large.
const stackRoom = 9 << 10

// roomy makes room for a handler and all that is around it, at once. Watermill's router starts a goroutine a
// message, whose stack begins small. Left to itself it is copied, twice as large each time, with ever
// more on it: a twentieth of a service's processor time. Here there is next to nothing to copy yet.
func roomy(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		makeRoom(len(msg.UUID) % stackRoom)
		return next(msg)
	}
}

// makeRoom uses a byte of the room that the compiler cannot know, or it would need none.
//
//go:noinline
func makeRoom(at int) byte {
	var room [stackRoom]byte
	room[at] = 1
	return room[stackRoom-1-at]
}
