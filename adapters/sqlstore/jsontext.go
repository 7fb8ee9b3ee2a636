package sqlstore

import "encoding/json"

// jsonText encodes plain structs of ours, which cannot fail, as a JSON column's text.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(text)
}
