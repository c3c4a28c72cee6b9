package contexts

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vmscaler", "contexts.yaml")
	all, err := Load(path, os.Geteuid())
	if err != nil || len(all.Named) != 0 || all.InUse != "" {
		t.Fatalf("without a file: %+v, %v", all, err)
	}
	all.InUse = "kvm1"
	all.Named["kvm1"] = Context{URL: "tls://kvm1:4222", CA: "/a", Nkey: "/b", URI: "qemu+ssh://kvm1/system"}
	all.Named["here"] = Context{StateDir: "/srv/vms"}
	for range 2 { // the second time in place of the first
		if err := Save(path, all); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(path, os.Geteuid())
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("got %+v, %v, want %+v", got, err, all)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"another's":     {"contexts: {}\n", 0o666, "everyone may write to it"},
		"unknown field": {"contexts: {a: {nats_url: x}}\n", 0o600, `unknown field "nats_url"`},
		"a wrong name":  {"contexts: {a b: {url: x}}\n", 0o600, `found "a b"`},
		"no YAML":       {"contexts: [\n", 0o600, "contexts.yaml"},
	} {
		path := filepath.Join(t.TempDir(), "contexts.yaml")
		if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, os.Geteuid()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
