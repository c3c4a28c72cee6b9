package seed

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/kdomanski/iso9660"

	"github.com/vmscaler/vmscaler/bus"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPqXr0Jm2wq0gqhZJ7o0Fh4bJ6qv1cYjv1Cj7yFqk0a ann@example.org"

var web3 = Values{
	Name: "web-3", Group: "web", Index: 3, Host: "kvm1", Template: "demo",
	UUID: "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11", Tags: "prod team=web",
}

// read is the files of an image, by another program's reading.
func read(t *testing.T, data []byte) (label string, files map[string]string) {
	t.Helper()
	img, err := iso9660.OpenImage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if label, err = img.Label(); err != nil {
		t.Fatal(err)
	}
	root, err := img.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for _, f := range children {
		content, err := io.ReadAll(f.Reader())
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name()] = string(content)
	}
	return label, files
}

func TestImage(t *testing.T) {
	c := bus.CloudInit{
		SSHKeys: []bus.Text{{Text: key}, {Text: "# of the team\n" + key + "2\n\n"}},
		UserData: bus.Text{Text: "#cloud-config\nhostname: {{.Name}}.{{.Group}}\n" +
			strings.Repeat("# more than a sector\n", 200)},
		VendorData:    bus.Text{Text: "#!/bin/sh\necho '{{.Name}}'\n"},
		NetworkConfig: bus.Text{Text: "version: 2\n"},
	}
	data, err := Image(c, web3)
	if err != nil {
		t.Fatal(err)
	}
	label, files := read(t, data)
	if label != Label || len(files) != 4 {
		t.Errorf("label %q, files %v", label, files)
	}
	if got := files["user-data"]; !strings.HasPrefix(got, "#cloud-config\nhostname: web-3.web\n") ||
		!strings.HasSuffix(got, "sector\n") {
		t.Errorf("user data:\n%s", got)
	}
	if files["vendor-data"] != c.VendorData.Text || files["network-config"] != c.NetworkConfig.Text {
		t.Errorf("changed what is no template: %v", files)
	}
	var meta struct {
		ID   string   `yaml:"instance-id"`
		Name string   `yaml:"local-hostname"`
		Keys []string `yaml:"public-keys"`
		Tags []string `yaml:"tags"`
	}
	if err := yaml.Unmarshal([]byte(files["meta-data"]), &meta); err != nil {
		t.Fatal(err)
	}
	if meta.ID != web3.UUID || meta.Name != "web-3" || strings.Join(meta.Keys, "|") != key+"|"+key+"2" ||
		strings.Join(meta.Tags, "|") != "prod|team=web" {
		t.Errorf("meta-data: %+v", meta)
	}
	again, err := Image(c, web3)
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("the same seed is another image (%v)", err)
	}
	if len(data)%2048 != 0 {
		t.Errorf("%d bytes are no whole sectors", len(data))
	}
}

// Two VMs of one group are two instances.
func TestImagesOfTwoVMs(t *testing.T) {
	other := web3
	other.Name, other.Index, other.UUID = "web-4", 4, "a1b2c3d4-0000-4000-8000-00000000000a"
	c := bus.CloudInit{SSHKeys: []bus.Text{{Text: key}}}
	one, err := Image(c, web3)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Image(c, other)
	if err != nil {
		t.Fatal(err)
	}
	_, a := read(t, one)
	_, b := read(t, two)
	if a["meta-data"] == b["meta-data"] || !strings.Contains(b["meta-data"], other.UUID) {
		t.Errorf("%s and %s", a["meta-data"], b["meta-data"])
	}
	if text, is := a["user-data"]; !is || text != "" {
		t.Errorf("without user data: %q, %v; cloud-init wants the file", text, is)
	}
}

func TestUserData(t *testing.T) {
	for _, tt := range []struct{ name, text, want, err string }{
		{"none", "", "", ""},
		{"all values", "{{.Name}} {{.Group}} {{.Index}} {{.Host}} {{.Template}} {{.UUID}}", "web-3 web 3 kvm1 demo " + web3.UUID, ""},
		{"a condition", `{{if eq .Index 3}}first{{else}}other{{end}}`, "first", ""},
		{"arithmetic of text", `{{printf "%03d" .Index}}`, "003", ""},
		{"for cloud-init to fill in", jinja + "\n{{ v1.local_hostname }}", jinja + "\n{{ v1.local_hostname }}", ""},
		{"a value that is none", "a\n{{.Nome}}", "", "line 2:2: at <.Nome>: there is no .Nome"},
		{"a template that is none", "{{", "", "line 1"},
		{"a loop", "{{range 5}}{{end}}", "", "want values, if and with only"},
		{
			"a loop in a branch", "{{if .Name}}{{else}}{{with .Group}}{{range 5}}{{end}}{{end}}{{end}}", "",
			"want values, if and with only",
		},
		{"a call of itself", `{{template "user_data" .}}`, "", "want values, if and with only"},
		{"a template within", `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, "", `a template "x" within`},
		{"too long with its values", `{{printf "%1000000d" 1}}`, "", "more than 64 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := userData(tt.text, web3)
			if string(got) != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

// FuzzUserData: whatever is written as user data, filling it in ends, and makes no more than it may.
func FuzzUserData(f *testing.F) {
	f.Add("{{.Name}}{{if .Index}}x{{end}}")
	f.Add(`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > MaxBytes {
			return
		}
		got, err := userData(text, web3)
		if len(got) > MaxBytes || err != nil && got != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
