package sqldb

import "encoding/json"

// Among is the condition that a column is in a set, which is one parameter of any size (see Set): so the
// statement's text is always the same. sqlType is what the column is in PostgreSQL.
func (d Dialect) Among(column, sqlType string) string {
	if d == SQLite {
		return column + " IN (SELECT value FROM json_each(?))"
	}
	return column + " = ANY(?::" + sqlType + "[])"
}

// Set is the parameter for Among. An empty one is never NULL, of which nobody knows what is in it.
func Set[K string | int64](d Dialect, keys []K) any {
	if keys == nil {
		keys = []K{}
	}
	if d == Postgres {
		return keys
	}
	text, _ := json.Marshal(keys) // strings and numbers can always be written
	return string(text)
}
