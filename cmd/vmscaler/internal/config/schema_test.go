package config

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The schema that lies beside the example is the one of the table.
func TestSchemaOfTheExample(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "examples", "vmscaler.schema.json")
	got, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is not what `vmscaler config schema` prints: write it again with -update", path)
	}
	example, err := os.ReadFile(filepath.Join(filepath.Dir(path), "vmscaler.yaml"))
	if err != nil || !strings.HasPrefix(string(example), "# yaml-language-server: $schema="+filepath.Base(path)+"\n") {
		t.Errorf("the example does not name its schema (%v)", err)
	}
}

// What the program reads the schema allows, whatever the field; what it refuses by a field's own form the schema refuses as well.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	data, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	allows := func(text string) error {
		t.Helper()
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		return validate(schema, value, "")
	}
	example, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "examples", "vmscaler.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", string(example), string(Default().YAML())} {
		if err := allows(text); err != nil {
			t.Errorf("refuses what is right: %v in\n%.200s", err, text)
		}
	}
	for _, c := range scalars {
		for _, value := range splitValues(c.good) {
			if err := allows(groupWith(c.field, value)); err != nil {
				t.Errorf("%s: refuses %s: %v", c.field, value, err)
			}
		}
	}
	for field, bad := range map[string]string{
		"vcpus": "0 513 -1 1.5 '2' two ~ true [1] {a: 1}", "ready_when": "Agent '' ~ 1",
		"policy.type": "cpu '' [] [step,cpu] [step,step]",
		"dry_run":     "1 'true' ~ []", "memory": "31 -64 1.5GiB 1TiB 256MB MiB ~", "policy.upper": "100.1 101 % 70%% ~ NaN",
		"drain":         "5 1d soon ~",
		"policy.warmup": "Learned 5", "bootTimeout": "1s", "disk": "large", "firmware": "efi", "nics": "1 [{typ: user}]",
		"repair": "{at_once: 0}", "scale_in": "random [] [newest, newest] hook:A [hook:A] 1",
	} {
		for _, value := range splitValues(bad) {
			if err := allows(groupWith(field, value)); err == nil {
				t.Errorf("%s: allows %s", field, value)
			}
		}
	}
}

// validate is as much of JSON Schema as ours uses.
func validate(s map[string]any, v any, at string) error {
	if forms, is := s["anyOf"].([]any); is {
		for _, one := range forms {
			if validate(one.(map[string]any), v, at) == nil {
				return nil
			}
		}
		return fmt.Errorf("%s: %v is none of the forms", at, v)
	}
	kinds := kindsOf(v)
	if want, is := s["type"]; is &&
		!slices.ContainsFunc(kinds, func(k string) bool { return fmt.Sprint(want) == k || slices.Contains(anyStrings(want), k) }) {
		return fmt.Errorf("%s: %v is %v, want %v", at, v, kinds, want)
	}
	if want, is := s["const"]; is && want != v {
		return fmt.Errorf("%s: %v, want %v", at, v, want)
	}
	if want, is := s["enum"]; is && !slices.Contains(anyStrings(want), fmt.Sprint(v)) {
		return fmt.Errorf("%s: %v, want one of %v", at, v, want)
	}
	switch v := v.(type) {
	case string:
		if p, is := s["pattern"].(string); is && !regexp.MustCompile(p).MatchString(v) {
			return fmt.Errorf("%s: %q does not match %s", at, v, p)
		}
	case []any:
		if least, is := s["minItems"].(float64); is && len(v) < int(least) {
			return fmt.Errorf("%s: %d items", at, len(v))
		}
		for i, item := range v {
			if s["uniqueItems"] == true && slices.ContainsFunc(v[:i], func(o any) bool { return reflect.DeepEqual(o, item) }) {
				return fmt.Errorf("%s: %v twice", at, item)
			}
			if err := validate(s["items"].(map[string]any), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case map[string]any:
		known, _ := s["properties"].(map[string]any)
		for key, value := range v {
			below, is := known[key].(map[string]any)
			if !is {
				return fmt.Errorf("%s: unknown key %s", at, key)
			}
			if err := validate(below, value, at+"."+key); err != nil {
				return err
			}
		}
	default:
		return inBounds(s, v, at)
	}
	return nil
}

func inBounds(s map[string]any, v any, at string) error {
	f, is := number64(v)
	least, hasLeast := s["minimum"].(float64)
	most, hasMost := s["maximum"].(float64)
	if is && (hasLeast && f < least || hasMost && f > most || math.IsNaN(f)) {
		return fmt.Errorf("%s: %v is not from %v to %v", at, v, least, most)
	}
	return nil
}

func number64(v any) (float64, bool) {
	switch v := v.(type) {
	case uint64:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func anyStrings(v any) []string {
	var all []string
	list, _ := v.([]any)
	for _, one := range list {
		all = append(all, fmt.Sprint(one))
	}
	return all
}

func kindsOf(v any) []string {
	switch v.(type) {
	case nil:
		return []string{"null"}
	case bool:
		return []string{"boolean"}
	case string:
		return []string{"string"}
	case uint64, int64:
		return []string{"integer", "number"}
	case float64:
		return []string{"number"}
	case []any:
		return []string{"array"}
	}
	return []string{"object"}
}
