package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"
)

// Schema is the part of JSON Schema that a configuration takes. Editors check and complete a file by it.
type Schema struct {
	Dialect     string     `json:"$schema,omitempty"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description,omitempty"`
	Type        any        `json:"type,omitempty"` // a word, or several; absent: any
	Const       string     `json:"const,omitempty"`
	Enum        []string   `json:"enum,omitempty"`
	Pattern     string     `json:"pattern,omitempty"` // of texts alone
	Minimum     *float64   `json:"minimum,omitempty"` // of numbers alone
	Maximum     *float64   `json:"maximum,omitempty"`
	AnyOf       []*Schema  `json:"anyOf,omitempty"`
	Items       *Schema    `json:"items,omitempty"`
	MinItems    int        `json:"minItems,omitempty"`
	UniqueItems bool       `json:"uniqueItems,omitempty"`
	Properties  properties `json:"properties,omitempty"`
	Closed      *bool      `json:"additionalProperties,omitempty"`
	Default     any        `json:"default,omitempty"`
}

// property is a key of a mapping.
type property struct {
	key    string
	schema *Schema
}

// properties are in the order of the table.
type properties []property

// MarshalJSON is an object.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, one := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		data, err := json.Marshal(one.schema)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", one.key, data)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// JSONSchema is the format of the file as a JSON schema, made from the same table that reads a file. It says what each field by
// itself may be; what takes several fields, or the host, `vmscaler config check` says.
func JSONSchema() ([]byte, error) {
	c := Default()
	s := configFields(&c).schema()
	s.Dialect, s.Title = "http://json-schema.org/draft-07/schema#", "The configuration of vmscaler"
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(data, '\n'), nil
}

func (s section) schema() *Schema {
	out := &Schema{Type: []string{"object", "null"}, Closed: new(false)}
	for _, f := range s {
		one := *f.value.schema()
		if word, below := f.value.render(); word != "" && below == nil {
			var value any
			if err := yaml.Unmarshal([]byte(word), &value); err == nil {
				one.Default = value
			}
		}
		out.Properties = append(out.Properties, property{f.key, &one})
	}
	return out
}

func (l list[T]) schema() *Schema {
	out := &Schema{Description: l.want, Type: "array", Items: l.inside().schema()}
	if !l.empty {
		out.MinItems = 1
	}
	return out
}

// schema is permissive where the constructor says nothing.
func (s scalar) schema() *Schema {
	out := s.form
	out.Description = s.want
	return &out
}

func (t fileText) schema() *Schema {
	return &Schema{Description: t.want + ", or " + filePrefix + "PATH of a file with it", Type: "string"}
}

func (t fileTexts) schema() *Schema {
	return &Schema{
		Description: "a list, each item " + t.want + ", or " + filePrefix + "PATH of a file with some", Type: "array",
		Items: &Schema{Type: "string"},
	}
}

func (l wordList) schema() *Schema {
	return &Schema{Description: "words", Type: "array", Items: &Schema{Type: "string", Pattern: word.String()}, UniqueItems: true}
}

// between bounds a number.
func between(low, high float64) Schema { return Schema{Minimum: &low, Maximum: &high} }

// numberOrText is a number from low to high, or a text like one.
func numberOrText(kind string, low, high float64, pattern string) Schema {
	s := between(low, high)
	s.Type, s.Pattern = []string{kind, "string"}, pattern
	return s
}

// or adds a word that is allowed too.
func (s Schema) or(word string) Schema { return Schema{AnyOf: []*Schema{&s, {Const: word}}} }

// orNull adds null, which is allowed too.
func (s Schema) orNull() Schema { return Schema{AnyOf: []*Schema{&s, {Type: "null"}}} }
