package sqldb_test

import (
	"testing"

	"millrace/adapters/adaptertest"
	"millrace/adapters/sqldb"
)

func TestASetIsOneParameterOfAnySize(t *testing.T) {
	t.Parallel()
	adaptertest.EachDatabase(t, "orders", func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		among := func(condition string, set any) bool {
			t.Helper()
			var is bool
			if err := db.GetContext(t.Context(), &is, db.Rebind("SELECT "+condition), set); err != nil {
				t.Fatal(err)
			}
			return is
		}
		d := db.Dialect
		if text := d.Among("'b'", "text"); !among(text, sqldb.Set(d, []string{"a", "b"})) || among(text, sqldb.Set(d, []string{"a"})) {
			t.Error("a text is not found by its set")
		}
		if number := d.Among("2", "bigint"); !among(number, sqldb.Set(d, []int64{1, 2})) || among(number, sqldb.Set(d, []int64{1})) {
			t.Error("a number is not found by its set")
		}
		if none := "NOT (" + d.Among("2", "bigint") + ")"; !among(none, sqldb.Set[int64](d, nil)) {
			t.Error("what is in no set is taken for unknown")
		}
	})
}
