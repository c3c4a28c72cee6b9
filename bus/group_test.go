package bus

import (
	"reflect"
	"strings"
	"testing"
)

func TestCheckGroupName(t *testing.T) {
	for _, tt := range []struct {
		name string
		want string // "": good
	}{
		{"web", ""},
		{"a", ""},
		{"web-front", ""},
		{"web2go", ""},
		{"autoscale", ""},
		{strings.Repeat("a", 40), ""},
		{strings.Repeat("a", 41), "want a lower-case letter"},
		{"", "want a lower-case letter"},
		{"Web", "want a lower-case letter"},
		{"1web", "want a lower-case letter"},
		{"-web", "want a lower-case letter"},
		{"web.x", "want a lower-case letter"},
		{"web_x", "want a lower-case letter"},
		{"web\n", "want a lower-case letter"},
		{"wéb", "want a lower-case letter"},
		{"web-1", "web-<n>"},
		{"web1", "ends in a number"},
		{"web-", "ends in '-'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckGroupName(tt.name)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestFlaps(t *testing.T) {
	for _, tt := range []struct {
		name         string
		min, max     int
		upper, lower float64
		want         bool
	}{
		{"the defaults", 1, 5, 70, 20, false},
		{"1 and 2 VMs, exactly half", 1, 5, 70, 35, true},
		{"1 and 2 VMs, just below half", 1, 5, 70, 34.9, false},
		{"2 and 3 VMs, exactly two thirds", 2, 5, 60, 40, true},
		{"2 and 3 VMs, just below", 2, 5, 60, 39.9, false},
		{"fixed size never scales in", 3, 3, 70, 69, false},
		{"lower above upper", 1, 5, 50, 60, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := DefaultGroup()
			g.Min, g.Max, g.Policy.UpperPercent, g.Policy.LowerPercent = tt.min, tt.max, tt.upper, tt.lower
			warning, got := g.Flaps()
			if got != tt.want || got != (warning.Why != "") {
				t.Errorf("got %v, %q", got, warning)
			}
		})
	}
	g := DefaultGroup()
	g.Policy.UpperPercent, g.Policy.LowerPercent = 70, 40
	warning, _ := g.Flaps()
	if text := warning.String(); !strings.Contains(text, "2 VMs at 40 % is 80 % on 1") || !strings.Contains(text, "below 35") {
		t.Errorf("the warning does not say why: %s", warning)
	}
}

func TestDefaultGroupIsSound(t *testing.T) {
	g := DefaultGroup()
	if err := CheckGroupName(g.Name); err != nil {
		t.Error(err)
	}
	if w, flaps := g.Flaps(); flaps {
		t.Error(w)
	}
}

// Two stages with different specs must notice, whichever field differs.
func TestHashChangesWithEachField(t *testing.T) {
	base := DefaultGroup()
	if base.Hash() != DefaultGroup().Hash() {
		t.Fatal("the same spec has two hashes")
	}
	if n := len(base.Hash()); n != 12 {
		t.Errorf("the hash has %d digits", n)
	}
	seen := map[string]string{base.Hash(): "no change"}
	var walk func(root *Group, v reflect.Value, path string)
	walk = func(root *Group, v reflect.Value, path string) {
		for i := range v.NumField() {
			field, name := v.Field(i), path+v.Type().Field(i).Name
			before := reflect.New(field.Type()).Elem()
			before.Set(field)
			switch field.Kind() {
			case reflect.String:
				field.SetString(field.String() + "x")
			case reflect.Int, reflect.Int64:
				field.SetInt(field.Int() + 1)
			case reflect.Float64:
				field.SetFloat(field.Float() + 0.5)
			case reflect.Bool:
				field.SetBool(!field.Bool())
			case reflect.Struct:
				walk(root, field, name+".")
				continue
			case reflect.Slice:
				field.Set(reflect.Append(field.Slice3(0, field.Len(), field.Len()), reflect.Zero(field.Type().Elem())))
			default:
				t.Fatalf("%s: this test cannot change a %s", name, field.Kind())
			}
			if other, taken := seen[root.Hash()]; taken {
				t.Errorf("a change of %s has the hash of %s", name, other)
			}
			seen[root.Hash()] = name
			field.Set(before)
		}
	}
	walk(&base, reflect.ValueOf(&base).Elem(), "")
}

// The groups of commands have names as groups do, are told from others, and never come twice.
func TestThrowAwayGroups(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		name := NewThrowAwayGroup()
		if err := CheckGroupName(name); err != nil || !IsThrowAway(name) || seen[name] {
			t.Fatalf("%s: %v, seen before: %t", name, err, seen[name])
		}
		seen[name] = true
	}
	if IsThrowAway("vmscaler") || IsThrowAway("web") {
		t.Error("other groups count as a command's")
	}
}
