package outbox

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// row is one message as the relay knows it.
type row struct {
	seq       int64
	aggregate string
	topic     string
	id        string
	envelope  []byte
	createdAt time.Time
	attempts  int // failed ones
}

// envelope writes what Watermill's forwarder expects to read: the message, and where it goes. The
// forwarder's own publisher would decode the headers only to encode them again; here they go in
// as they are stored. When they are not what they should be, the forwarder cannot read the result.
func envelope(topic, id, headers string, payload []byte) []byte {
	b := make([]byte, 0, 80+len(topic)+len(id)+len(headers)+base64.StdEncoding.EncodedLen(len(payload)))
	b = append(b, `{"destination_topic":`...)
	b = appendString(b, topic)
	b = append(b, `,"uuid":`...)
	b = appendString(b, id)
	b = append(b, `,"payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, payload)
	b = append(b, `","metadata":`...)
	b = append(b, headers...)
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // which a string never gives
		return append(b, `""`...)
	}
	return append(b, quoted...)
}
