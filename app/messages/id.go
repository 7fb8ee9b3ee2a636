package messages

import (
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"time"
)

// namespace is the UUID under which all derived ids live. It never changes.
var namespace = [16]byte{0x6d, 0x69, 0x6c, 0x6c, 0x72, 0x61, 0x63, 0x65, 0x80, 0x00, 0x6f, 0x72, 0x64, 0x65, 0x72, 0x73}

// DerivedID is the id of a message that was caused by another message, a timer or an intent:
// UUID version 5 (RFC 9562, section 5.5) of cause, name and position. A handler that runs again
// sends the same message again, and the receiver's inbox knows it.
func DerivedID(cause, name string, index int) string {
	return uuid5(cause + "/" + name + "/" + strconv.Itoa(index))
}

// ForeignID is the id of a record that came without one: its place in Kafka, and the time that it bears, in
// milliseconds as Kafka keeps it. A topic that was lost with its broker and made again counts its places from
// zero, and another record at the same place is not the same one.
func ForeignID(topic string, partition int32, offset int64, at time.Time) string {
	return uuid5(topic + "/" + strconv.Itoa(int(partition)) + "/" + strconv.FormatInt(offset, 10) + "/" + strconv.FormatInt(at.UnixMilli(), 10))
}

func uuid5(name string) string {
	h := sha1.New()
	h.Write(namespace[:])
	h.Write([]byte(name))
	var u [16]byte
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	for i, c := range s {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}
