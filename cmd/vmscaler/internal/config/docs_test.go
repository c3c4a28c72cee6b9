package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/bus"
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
