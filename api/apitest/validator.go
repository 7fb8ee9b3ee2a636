// Package apitest checks records against the schemas of package api. It is for tests, of any
// package; no service may link it.
package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"millrace/api"
)

// Validator knows the schema of the envelope and of every message. It is safe for concurrent use.
type Validator struct {
	envelope *jsonschema.Schema
	messages map[string]*jsonschema.Schema
}

// NewValidator compiles every schema, formats included.
func NewValidator() (*Validator, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	files, err := fs.Glob(api.Schemas, "schemas/*.json")
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	for _, file := range files {
		text, err := api.Schemas.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", file, err)
		}
		if err := c.AddResource(path.Base(file), doc); err != nil {
			return nil, fmt.Errorf("add %s: %w", file, err)
		}
	}
	v := &Validator{messages: map[string]*jsonschema.Schema{}}
	for _, file := range files {
		schema, err := c.Compile(path.Base(file))
		if err != nil {
			return nil, fmt.Errorf("compile %s: %w", file, err)
		}
		if name := strings.TrimSuffix(path.Base(file), ".json"); name == "envelope" {
			v.envelope = schema
		} else {
			v.messages[name] = schema
		}
	}
	return v, nil
}

// Record checks the value of a record: the envelope, and the data by the schema of its type. A
// type without a schema is an error.
func (v *Validator) Record(value []byte) error {
	if err := check(v.envelope, value); err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	var e struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	return v.Data(e.Type, e.Data)
}

// Data checks the data of a message of that name.
func (v *Validator) Data(name string, data []byte) error {
	schema, ok := v.messages[name]
	if !ok {
		return fmt.Errorf("there is no schema for %s", name)
	}
	if err := check(schema, data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Names gives the names of the messages that have a schema.
func (v *Validator) Names() []string {
	names := make([]string, 0, len(v.messages))
	for name := range v.messages {
		names = append(names, name)
	}
	return names
}

// Schema gives a message's schema, nil when it has none.
func (v *Validator) Schema(name string) *jsonschema.Schema { return v.messages[name] }

func check(schema *jsonschema.Schema, text []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}
