package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// decodeBody reads one JSON object into a struct, and says in plain words which field is wrong: each is there once, and one of
// the struct's.
func decodeBody(data []byte, into any) error {
	known := fieldsOf(reflect.TypeOf(into).Elem())
	d := json.NewDecoder(bytes.NewReader(data))
	if err := onceEach(d, ""); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return problem(ReasonMalformed, "body: found more than one value")
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return wrongType(err)
	}
	for key := range keys {
		if _, is := known[key]; !is {
			return problem(ReasonMalformed, "%s: there is no such field, want some of %s", bus.Clip(key, 40), names(known))
		}
	}
	if err := json.Unmarshal(data, into); err != nil {
		return wrongType(err)
	}
	return nil
}

// onceEach reads a value, and refuses a key that an object has twice.
func onceEach(d *json.Decoder, path string) error {
	token, err := d.Token()
	if err != nil {
		return notJSON(err, d.InputOffset())
	}
	opening, is := token.(json.Delim)
	if !is {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		below := path
		if opening == '{' {
			key, err := d.Token()
			if err != nil {
				return notJSON(err, d.InputOffset())
			}
			name := fmt.Sprint(key)
			if below = strings.TrimPrefix(path+"."+name, "."); seen[name] {
				return problem(ReasonMalformed, "%s: found it twice, want it once", bus.Clip(below, 80))
			}
			seen[name] = true
		}
		if err := onceEach(d, below); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the end
		return notJSON(err, d.InputOffset())
	}
	return nil
}

func notJSON(err error, at int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if at == 0 {
			return problem(ReasonMalformed, "body: found nothing, want a JSON object")
		}
		return problem(ReasonMalformed, "body: the JSON ends too early, after %d bytes", at)
	}
	return problem(ReasonMalformed, "body: found no JSON after %d bytes, want a JSON object", at)
}

// wrongType names a value that its field cannot take.
func wrongType(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return problem(ReasonMalformed, "body: a value does not fit its field")
	}
	path := strings.Split(wrong.Field, ".")
	path = slices.DeleteFunc(path, func(name string) bool { return name != "" && name[0] >= 'A' && name[0] <= 'Z' }) // embedded
	field := strings.Join(path, ".")
	if field == "" {
		field = "body"
	}
	kind, number, _ := strings.Cut(wrong.Value, " ")
	found := map[string]string{"string": "a text", "array": "a list", "object": "an object", "bool": "true or false"}[kind]
	if found == "" {
		found = strings.TrimSpace("a number " + number)
	}
	return problem(ReasonMalformed, "%s: found %s, want %s", bus.Clip(field, 80), found, wanted(wrong.Type))
}

// wanted is what values of a type are, for people.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list, each of it " + wanted(t.Elem())
	}
	return "an object"
}

// fieldsOf are the fields of a struct by their names in JSON, with those of what is embedded.
func fieldsOf(t reflect.Type) map[string]bool {
	all := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && f.IsExported() {
			all[name] = true
		}
	}
	return all
}

func names(known map[string]bool) string {
	var all []string
	for name := range known {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
