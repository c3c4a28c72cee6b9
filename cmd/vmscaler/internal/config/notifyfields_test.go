package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/dashboard/notify"
)

func TestNotify(t *testing.T) {
	cfg := parse(
		t,
		"notify: [{name: ops, type: email, to: [ops@example.org, 'Ann <ann@example.org>'], groups: [web], on: failed}]\n"+
			"groups: [{name: web}]",
	)
	want := newTarget()
	want.Name, want.Type, want.On, want.Groups = "ops", notify.Email, []notify.Kind{"failed"}, []string{"web"}
	want.To = []string{"ops@example.org", "Ann <ann@example.org>"}
	if len(cfg.Notify) != 1 || !reflect.DeepEqual(cfg.Notify[0], want) {
		t.Errorf("got %+v, want %+v", cfg.Notify, want)
	}
	if again := parse(t, string(cfg.YAML())); !reflect.DeepEqual(again.Notify, cfg.Notify) {
		t.Errorf("written and read again: %+v", again.Notify)
	}
	for text, want := range map[string]string{
		"{}":                                    "notify[0].name: found nothing",
		"{name: a}":                             "notify[0].type: found nothing, want one of json, slack",
		"{type: json}":                          "notify[0].name: found nothing",
		"{name: a, type: pigeon}":               "notify[0].type: found pigeon, want json",
		"{name: a, type: json}":                 "notify[0].url: found nothing, want https://HOST/PATH",
		"{name: a, type: json, url: 'ftp://x'}": `notify[0].url: found "ftp://x", want https://HOST/PATH`,
		"{name: a, type: json, url: 'https://x', url_file: /x}":      "notify[0].url_file: found it beside url",
		"{name: a, type: json, url: 'https://x', to: [a@b]}":         "to: found it with type: json, want it with type: email",
		"{name: a, type: slack, url: 'https://x', secret_file: /x}":  "notify[0].secret_file: found it with type: slack",
		"{name: a, type: json, url: 'https://x', on: [failed, nix]}": "notify[0].on: found a list",
		"{name: a, type: json, url: 'https://x', groups: [other]}":   "notify[0].groups: found other, want web",
		"{name: a, type: json, url: 'https://x', colour: red}":       "notify[0].colour: found an unknown field",
		"{name: a, type: email, to: [a]}":                            "notify[0].to: found a list, want a list of at most 50",
		"{name: a, type: email}":                                     "notify[0].to: found nothing",
		"{name: a, type: command}":                                   "notify[0].command: found nothing",
		"{name: a, type: command, command: x}, {name: a}":            "notify[1].name: found a, want a name of its own",
	} {
		_, _, err := Parse("f", []byte("notify: ["+text+"]\ngroups: [{name: web}]"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// The examples of the page about notifications are right.
func TestNotificationsPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "notifications.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 1 {
		t.Fatal("the page has no example")
	}
	for _, e := range examples {
		if cfg := parse(t, e[1]+"groups: [{name: web}]\n"); len(cfg.Notify) == 0 {
			t.Errorf("nobody is told by\n%s", e[1])
		}
	}
	for _, k := range notify.Kinds() {
		if !strings.Contains(string(page), "`"+string(k)+"`") {
			t.Errorf("the page does not say what %s is", k)
		}
	}
	for _, f := range notifyFields(&notify.Target{}).keys() {
		if !strings.Contains(string(page), "`"+f+"`") {
			t.Errorf("the page does not say what %s is", f)
		}
	}
}
