package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// What the pages on machines and templates show of a config can be used as it stands.
func TestExamplesOfThePages(t *testing.T) {
	var page []byte
	for _, name := range []string{"machine.md", "templates.md", "load-balancers.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		page = append(page, text...)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519.pub"), []byte(someKey), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 4 {
		t.Fatalf("the page has %d examples", len(blocks))
	}
	for _, block := range blocks {
		text := block[1]
		if strings.HasPrefix(text, "- name: ") { // of another file: the steps of an installation, or images
			continue
		}
		if strings.HasPrefix(text, "#cloud-config\n") {
			for _, p := range seed.Check(bus.CloudInit{UserData: bus.Text{Text: text}}, "web") {
				t.Errorf("%s in\n%s", p, text)
			}
			continue
		}
		if _, _, err := Load(write(t, "vmscaler.yaml", text, "web.yaml", "#cloud-config\n")); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

// The defaults on the page are those of the schema. One that is no word of the file's, such as "chosen", is of a field that says
// nothing.
func TestDefaultsOfThePage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "config.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	root := configFields(&c).schema()
	rows := regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ?([^|]*?) \\|").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 50 {
		t.Fatalf("the page has %d rows of fields", len(rows))
	}
	for _, row := range rows {
		fields, defaults := fieldsOf(root, row[1]), strings.Split(row[2], ", ")
		if len(defaults) == 1 {
			defaults = slices.Repeat(defaults, len(fields))
		}
		if len(defaults) != len(fields) {
			t.Errorf("%s: %d fields, and %d defaults: %s", row[1], len(fields), len(defaults), row[2])
			continue
		}
		for i, f := range fields {
			if f == nil {
				t.Errorf("%s: there is no field %d of these", row[1], i+1)
			} else if says := wordOfPage(defaults[i]); !slices.Contains(says, fmt.Sprint(f.Default)) {
				t.Errorf("%s: the page says %s, the schema %v", row[1], defaults[i], f.Default)
			}
		}
	}
}

// The pages to which that of the config links for the words of a field have a row for each.
func TestPagesHaveTheWords(t *testing.T) {
	words := map[string][]string{}
	for _, o := range bus.ScaleIns() {
		words["scale-in.md"] = append(words["scale-in.md"], string(o))
	}
	for _, k := range policy.Kinds() {
		words["policies.md"] = append(words["policies.md"], string(k))
	}
	for name, of := range words {
		page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range of {
			if !strings.Contains(string(page), "\n| `"+word+"` | ") {
				t.Errorf("%s has no row for %s", name, word)
			}
		}
	}
}

// fieldsOf are the schemas of the fields that a row of the page is about, nil where there is none: each by its whole name, or as
// it is called beside the one before it. Those of a group are called as in one.
func fieldsOf(root *Schema, names string) (found []*Schema) {
	group := root.at("groups").Items
	beside := []*Schema{group, root}
	for name := range strings.SplitSeq(names, ", ") {
		keys := strings.Split(strings.TrimPrefix(strings.Trim(name, "`"), "groups[]."), ".")
		var one *Schema
		for _, in := range append(slices.Clone(beside), group, root) {
			if one = in.at(keys[:len(keys)-1]...); one.at(keys[len(keys)-1]) != nil {
				beside, one = []*Schema{one}, one.at(keys[len(keys)-1])
				break
			}
			one = nil
		}
		found = append(found, one)
	}
	return found
}

// at is what is below a schema by so many keys; nil is nothing.
func (s *Schema) at(keys ...string) *Schema {
	for _, key := range keys {
		if s == nil {
			return nil
		}
		i := slices.IndexFunc(s.Properties, func(p property) bool { return p.key == key })
		if i < 0 {
			return nil
		}
		s = s.Properties[i].schema
	}
	return s
}

// wordOfPage are what the schema may say where the page says this.
func wordOfPage(text string) []string {
	if word, _, is := strings.Cut(strings.TrimPrefix(text, "`"), "`"); is && strings.HasPrefix(text, "`") {
		return []string{strings.Trim(word, `"`)}
	}
	if regexp.MustCompile(`^[0-9]+$`).MatchString(text) {
		return []string{text}
	}
	return []string{"", "[]", "<nil>", "none", "false", "default"}
}
