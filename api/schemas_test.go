package api_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"millrace/api/apitest"
	"millrace/app/messages"
)

func TestEveryMessageHasASchemaAndEverySchemaAMessage(t *testing.T) {
	t.Parallel()
	var want []string
	for _, spec := range messages.Catalogue {
		want = append(want, spec.Name)
	}
	got := validator(t).Names()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("schemas are there for\n%v\nand the catalogue has\n%v", got, want)
	}
}

func TestWhatTheCodeWritesIsWhatTheSchemasSay(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for _, spec := range messages.Catalogue {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			value, _ := sample(t, spec.Name)
			if err := v.Record(value); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSchemasTakeEmptyAnswersToo(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for _, m := range []messages.Message{
		&messages.OrderCompleted{OrderID: "ord_1", UserID: "usr_1", Status: "CONFIRMED", Total: 1, Currency: "LKR"},
		&messages.PaymentRefunded{OrderID: "ord_1", Currency: "XXX", Outcome: messages.OutcomeNothingCaptured},
		&messages.InventoryFailed{OrderID: "ord_1", Reason: messages.ReasonBarred, Missing: []messages.Shortage{}},
		&messages.InventoryReleased{OrderID: "ord_1", Released: []messages.Quantity{}},
	} {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Data(m.Name(), data); err != nil {
			t.Error(err)
		}
	}
}

func TestASchemaRefusesAMessageThatLacksAnyMember(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for _, spec := range messages.Catalogue {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			_, m := sample(t, spec.Name)
			for member := range m {
				less := make(map[string]any, len(m))
				for k, value := range m {
					if k != member {
						less[k] = value
					}
				}
				data, err := json.Marshal(less)
				if err != nil {
					t.Fatal(err)
				}
				if v.Data(spec.Name, data) == nil {
					t.Errorf("it takes one without %s", member)
				}
			}
		})
	}
}

func TestSchemasAndStructsHaveTheSameMembers(t *testing.T) {
	t.Parallel()
	v := validator(t)
	for _, spec := range messages.Catalogue {
		t.Run(spec.Name, func(t *testing.T) {
			t.Parallel()
			compare(t, spec.Name, reflect.TypeOf(spec.New()).Elem(), v.Schema(spec.Name))
		})
	}
}

// compare walks a struct and its schema side by side.
func compare(t *testing.T, at string, typ reflect.Type, schema *jsonschema.Schema) {
	t.Helper()
	var members, described []string
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		members = append(members, name)
		if inner := field.Type; inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct && schema.Properties[name] != nil {
			items := schema.Properties[name].Items2020
			if items == nil {
				t.Errorf("%s.%s is a list, and its schema says nothing of its items", at, name)
				continue
			}
			compare(t, at+"."+name, inner.Elem(), items)
		}
	}
	for name := range schema.Properties {
		described = append(described, name)
	}
	required := slices.Clone(schema.Required)
	slices.Sort(members)
	slices.Sort(described)
	slices.Sort(required)
	if !slices.Equal(members, described) {
		t.Errorf("%s has %v, and its schema describes %v", at, members, described)
	}
	if !slices.Equal(members, required) {
		t.Errorf("%s has %v, and its schema requires %v", at, members, required)
	}
}

// sample makes a record of what today's code writes, from a message of the golden files.
func sample(t *testing.T, name string) (record []byte, data map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "app", "messages", "testdata", "golden", "v1", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := messages.Open(bytes.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Message()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := messages.Seal(e.EventID, e.TraceID, e.OccurredAt, m)
	if err != nil {
		t.Fatal(err)
	}
	if record, err = json.Marshal(sealed); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(sealed.Data, &data); err != nil {
		t.Fatal(err)
	}
	return record, data
}

func validator(t *testing.T) *apitest.Validator {
	t.Helper()
	v, err := apitest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
