package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"millrace/domain/fault"
)

// MaxBody is the size in bytes above which a body is refused.
const MaxBody = 64 << 10

// readBody reads a whole body of at most MaxBody bytes. It fails with body_too_large or
// unreadable_body.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, errTooLarge
	}
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, unreadable(r, err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return nil, unreadable(r, err)
	}
	if len(body) > MaxBody {
		return nil, errTooLarge
	}
	return body, nil
}

func unreadable(r *http.Request, err error) error {
	if ctxErr := r.Context().Err(); ctxErr != nil {
		return ctxErr
	}
	return fault.New(fault.Invalid, "unreadable_body", "the body did not arrive whole").Because(err)
}

// takesJSON fails with unsupported_media_type unless the body is said to be plain UTF-8 JSON.
func takesJSON(h http.Header) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != jsonType {
		return errNotJSON
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return errNotJSON
	}
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return errNotJSON
	}
	return nil
}

// hashOf names a body: two requests with one Idempotency-Key must have the same.
func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

const maxKey = 255

// idempotencyKey reads the header of that name (draft-ietf-httpapi-idempotency-key-header-07): a
// quoted string of RFC 8941, or the bare characters. "" means that none was sent; a malformed one
// is fault.Invalid.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", badKey("it was sent more than once")
	}
	key := values[0]
	if strings.HasPrefix(key, `"`) {
		var err error
		if key, err = unquote(key); err != nil {
			return "", badKey(err.Error())
		}
	}
	if key == "" || len(key) > maxKey {
		return "", badKey("it must have 1 to 255 characters")
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", badKey("only printable ASCII characters are allowed")
		}
	}
	return key, nil
}

func badKey(why string) error {
	return fault.Invalidf("invalid_idempotency_key", "Idempotency-Key", "the Idempotency-Key is malformed: %s", why)
}

// unquote reads a string of RFC 8941, section 3.3.3: only \" and \\ are escapes.
func unquote(s string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			if i != len(s)-1 {
				return "", errors.New("something follows the closing quote")
			}
			return b.String(), nil
		case '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", errors.New(`a backslash stands only before " or \`)
			}
		}
		b.WriteByte(s[i])
	}
	return "", errors.New("the closing quote is missing")
}
