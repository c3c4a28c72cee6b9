package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

const someKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPqXr0Jm2wq0gqhZJ7o0Fh4bJ6qv1cYjv1Cj7yFqk0a ann@example.org"

// write puts files into a folder, and returns the first one's path.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

func TestTextsInFiles(t *testing.T) {
	path := write(t,
		"vmscaler.yaml",
		"groups:\n- name: web\n  cloud_init:\n    ssh_keys: [file:team.pub, '"+someKey+"']\n    user_data: file:web.yaml\n"+
			"    vendor_data: |\n      #!/bin/sh\n      true\n",
		"team.pub", "# the team\n"+someKey+"\n",
		"web.yaml", "#cloud-config\nhostname: {{.Name}}\n",
	)
	cfg, _, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := bus.CloudInit{
		SSHKeys:    []bus.Text{{Text: "# the team\n" + someKey + "\n", File: "team.pub"}, {Text: someKey}},
		UserData:   bus.Text{Text: "#cloud-config\nhostname: {{.Name}}\n", File: "web.yaml"},
		VendorData: bus.Text{Text: "#!/bin/sh\ntrue\n"},
	}
	got := cfg.Groups[0].CloudInit
	if len(got.SSHKeys) != 2 || got.SSHKeys[0] != want.SSHKeys[0] || got.SSHKeys[1] != want.SSHKeys[1] ||
		got.UserData != want.UserData ||
		got.VendorData != want.VendorData {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// What is shown is read again to the same, beside the same files.
	again, _, err := Parse(path, cfg.YAML())
	if err != nil {
		t.Fatalf("%v in\n%s", err, cfg.YAML())
	}
	same(t, again, cfg)
}

func TestProblemsOfSeeds(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		want         []string // of each problem the beginning, without the folder
	}{
		{
			"in a file", "user_data: file:bad.yaml",
			[]string{"bad.yaml:3: groups[0].cloud_init.user_data: found runcmd: text true, want a list"},
		},
		{
			"in a block", "user_data: |\n      #cloud-config\n      hostname: x\n      runcmd: yes please\n",
			[]string{"vmscaler.yaml:7: groups[0].cloud_init.user_data: found runcmd"},
		},
		{"in a line", "ssh_keys: [ann]", []string{"vmscaler.yaml:4: groups[0].cloud_init.ssh_keys[0]: found ann, want a public key"}},
		{
			"no file", "user_data: file:none.yaml",
			[]string{"vmscaler.yaml:4: groups[0].cloud_init.user_data: found file:none.yaml (no such file or directory), want a file"},
		},
		{"a folder", "user_data: file:.", []string{"vmscaler.yaml:4: groups[0].cloud_init.user_data: found file:. ("}},
		{"a device", "user_data: file:/dev/zero", []string{"vmscaler.yaml:4: groups[0].cloud_init.user_data: found file:/dev/zero ("}},
		{"too long", "user_data: file:long", []string{"vmscaler.yaml:4: groups[0].cloud_init.user_data: found file:long (it is " +
			"longer), want a file that can be read, of at most 64 KiB"}},
		{
			"no text", "user_data: file:binary",
			[]string{"vmscaler.yaml:4: groups[0].cloud_init.user_data: found file:binary (it is no text)"},
		},
		{
			"a number", "user_data: 5",
			[]string{"vmscaler.yaml:4: groups[0].cloud_init.user_data: found 5, want cloud-init's user data, or file:PATH"},
		},
		{"keys in one text", "ssh_keys: x", []string{"vmscaler.yaml:4: groups[0].cloud_init.ssh_keys: found x, want a list"}},
		{"all of them", "ssh_keys: [ann]\n    user_data: file:bad.yaml\n    network_config: 'version: 3'", []string{
			"bad.yaml:3:", "vmscaler.yaml:4:", "vmscaler.yaml:6: groups[0].cloud_init.network_config: found version: 3, want 1 or 2",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t,
				"vmscaler.yaml", "groups:\n- name: web\n  cloud_init:\n    "+tt.config+"\n",
				"bad.yaml", "#cloud-config\nhostname: x\nruncmd: 'true'\n",
				"long", "#!/bin/sh\n"+strings.Repeat("x", 64<<10),
				"binary", "#!/bin/sh\n\x00",
			)
			_, _, err := Load(path)
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != len(tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			for i, p := range problems {
				if got := strings.TrimPrefix(p.String(), filepath.Dir(path)+"/"); !strings.HasPrefix(got, tt.want[i]) {
					t.Errorf("got %s, want %s", got, tt.want[i])
				}
			}
		})
	}
}

// Whatever a text holds, what is shown of it is read again to the same.
func TestTextsAreShownWhole(t *testing.T) {
	part := rapid.SampledFrom([]string{
		"a", " ", "\n", "\t", "#", ": ", "- ", "'", `"`, "|", "file:", "\\", "é", "\r", "{{.Name}}",
		"  x\n", "\n\n",
	})
	rapid.Check(t, func(t *rapid.T) {
		want := strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "text"), "")
		if strings.HasPrefix(want, filePrefix) {
			want = " " + want
		}
		cfg := Default()
		cfg.Groups[0].CloudInit.VendorData.Text = want
		cfg.Groups[0].CloudInit.SSHKeys = []bus.Text{{Text: want}}
		d := decoder{file: "x", lines: map[string]position{}}
		got := Default()
		configFields(&got).decode(&d, "", d.document(cfg.YAML())) // not what Check thinks of it
		if len(d.problems) > 0 {
			t.Fatalf("%v in\n%s", d.problems, cfg.YAML())
		}
		if c := got.Groups[0].CloudInit; c.VendorData.Text != want || len(c.SSHKeys) != 1 || c.SSHKeys[0].Text != want {
			t.Fatalf("got %q and %q, want %q, from\n%s", c.VendorData.Text, c.SSHKeys, want, cfg.YAML())
		}
	})
}
