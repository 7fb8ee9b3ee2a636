package messages

import (
	"encoding/base64"
	"strconv"
)

// Redrive names a dead letter, or a message that was parked behind one, that is sent again to the
// handler that it was for. It travels in headers beside those of the record itself.
type Redrive struct {
	LetterID string // its row in dead_letters
	Version  int    // of that row when it was sent: whoever comes with an older one comes too late
	Count    int    // how often the dead letter was sent again; 0 for one that was only parked

	Consumer  string // the consumer group that it was for
	Handler   string // the handler that refused it; the group when it never got to one
	MessageID string // the inbox row

	// The record as it was read first.
	Topic     string
	Partition int32
	Offset    int64
	Key       []byte // nil when it had none
}

const (
	redriveLetter    = "redrive-letter"
	redriveVersion   = "redrive-version"
	redriveCount     = "redrive-count"
	redriveConsumer  = "redrive-consumer"
	redriveHandler   = "redrive-handler"
	redriveMessageID = "redrive-message-id"
	redriveTopic     = "redrive-topic"
	redrivePartition = "redrive-partition"
	redriveOffset    = "redrive-offset"
	redriveKey       = "redrive-key" // base64: a key may be any bytes
)

// Stamp puts r into the headers of a record for <service>.redrive.
func (r Redrive) Stamp(headers map[string]string) {
	headers[redriveLetter] = r.LetterID
	headers[redriveVersion] = strconv.Itoa(r.Version)
	headers[redriveCount] = strconv.Itoa(r.Count)
	headers[redriveConsumer] = r.Consumer
	headers[redriveHandler] = r.Handler
	headers[redriveMessageID] = r.MessageID
	headers[redriveTopic] = r.Topic
	headers[redrivePartition] = strconv.Itoa(int(r.Partition))
	headers[redriveOffset] = strconv.FormatInt(r.Offset, 10)
	if delete(headers, redriveKey); r.Key != nil {
		headers[redriveKey] = base64.StdEncoding.EncodeToString(r.Key)
	}
}

// RedriveOf reads what Stamp has written, and takes it out of the headers, which are then those of
// the record itself. False: it is not there, or not whole.
func RedriveOf(headers map[string]string) (Redrive, bool) {
	r := Redrive{
		LetterID: headers[redriveLetter], Consumer: headers[redriveConsumer], Handler: headers[redriveHandler],
		MessageID: headers[redriveMessageID], Topic: headers[redriveTopic],
	}
	ok := r.LetterID != "" && r.Consumer != "" && r.Handler != "" && r.MessageID != ""
	number := func(name string, bits int) int64 {
		n, err := strconv.ParseInt(headers[name], 10, bits)
		ok = ok && err == nil
		return n
	}
	r.Version, r.Count = int(number(redriveVersion, 32)), int(number(redriveCount, 32))
	r.Partition, r.Offset = int32(number(redrivePartition, 32)), number(redriveOffset, 64)
	if text, has := headers[redriveKey]; has {
		key, err := base64.StdEncoding.DecodeString(text)
		ok = ok && err == nil
		r.Key = append([]byte{}, key...)
	}
	if !ok {
		return Redrive{}, false
	}
	for _, name := range []string{
		redriveLetter, redriveVersion, redriveCount, redriveConsumer, redriveHandler,
		redriveMessageID, redriveTopic, redrivePartition, redriveOffset, redriveKey,
	} {
		delete(headers, name)
	}
	return r, true
}
