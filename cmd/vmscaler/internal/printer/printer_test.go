package printer

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

type thing struct {
	Name string    `json:"name"`
	MiB  int       `json:"memory_mib"`
	Made time.Time `json:"made"`
	Note string    `json:"note,omitempty"`
}

func things() List[thing] {
	return List[thing]{
		Rows: []thing{
			{"web", 256, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "a\tb\nc"},
			{"database", 1024, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ""},
		},
		Name: func(t thing) string { return t.Name },
		Columns: []Column[thing]{
			{"NAME", false, func(t thing) string { return t.Name }},
			{"NOTE", true, func(t thing) string { return t.Note }},
			{"MEMORY", false, func(t thing) string { return "x MiB" }},
		},
	}
}

func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		"table": "NAME      MEMORY\nweb       x MiB\ndatabase  x MiB\n",
		"text":  "NAME      MEMORY\nweb       x MiB\ndatabase  x MiB\n",
		"wide":  "NAME      NOTE   MEMORY\nweb       a␉b␊c  x MiB\ndatabase         x MiB\n",
		"name":  "web\ndatabase\n",
		"json": `[
  {
    "name": "web",
    "memory_mib": 256,
    "made": "2026-01-02T03:04:05Z",
    "note": "a\tb\nc"
  },
  {
    "name": "database",
    "memory_mib": 1024,
    "made": "2026-01-02T03:04:05Z"
  }
]
`,
		"yaml": "- name: web\n  memory_mib: 256\n  made: \"2026-01-02T03:04:05Z\"\n  note: |-\n    a\tb\n    c\n" +
			"- name: database\n  memory_mib: 1024\n  made: \"2026-01-02T03:04:05Z\"\n",
	} {
		o := chosen(t, format, Lists())
		var out strings.Builder
		if err := things().Print(&out, o); err != nil || out.String() != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", format, err, &out, want)
		}
	}
}

func TestNothingIsListed(t *testing.T) {
	for format, want := range map[string]string{"table": "", "wide": "", "name": "", "json": "[]\n", "yaml": "[]\n"} {
		var out strings.Builder
		if err := (List[thing]{}).Print(&out, chosen(t, format, Lists())); err != nil || out.String() != want {
			t.Errorf("%s: %v, got %q, want %q", format, err, &out, want)
		}
	}
}

func TestOneAfterTheOther(t *testing.T) {
	for format, want := range map[string]string{"json": "{\"a\":1}\n{\"a\":2}\n", "yaml": "---\na: 1\n---\na: 2\n"} {
		var out strings.Builder
		for n := range 2 {
			if err := Line(&out, chosen(t, format, Lists()), map[string]int{"a": n + 1}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("%s: got %q, want %q", format, &out, want)
		}
	}
}

func TestOtherFormatsAreRefused(t *testing.T) {
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	var o Output
	o.Add(flags, Values())
	if o.Format() != Table || !o.ForPeople() {
		t.Errorf("without the flag it is %s", o.Format())
	}
	for _, format := range []string{"xml", "wide", ""} {
		if err := flags.Parse([]string{"-o", format}); err == nil || !strings.Contains(err.Error(), "want one of table, json, yaml") {
			t.Errorf("%q: %v", format, err)
		}
	}
}

func chosen(t *testing.T, format string, allowed []Format) *Output {
	t.Helper()
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	o := &Output{}
	o.Add(flags, allowed)
	if err := flags.Parse([]string{"--output", format}); err != nil {
		t.Fatal(err)
	}
	return o
}
