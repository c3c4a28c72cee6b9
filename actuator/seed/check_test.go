package seed

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestCheck(t *testing.T) {
	user := func(text string) bus.CloudInit { return bus.CloudInit{UserData: bus.Text{Text: text}} }
	config := func(text string) bus.CloudInit { return user("#cloud-config\n" + text) }
	network := func(text string) bus.CloudInit { return bus.CloudInit{NetworkConfig: bus.Text{Text: text}} }
	keys := func(text string) bus.CloudInit { return bus.CloudInit{SSHKeys: []bus.Text{{Text: text}}} }
	file := bus.CloudInit{SSHKeys: []bus.Text{{Text: "root:$y$secret:20000:0:99999:7:::\n", File: "/etc/shadow"}}}
	for _, tt := range []struct {
		name string
		c    bus.CloudInit
		want string // the problems, each on a line; "" is none
	}{
		{"nothing", bus.CloudInit{}, ""},
		{
			"a file of no keys", file,
			"ssh_keys[0], line 1: found a line that is none, want a public key such as ssh-ed25519 AAAA... NAME",
		},
		{"a script", user("#!/bin/sh\n: {{.Name}}\n"), ""},
		{"a common one", config(`hostname: {{.Name}}
users:
  - default
  - name: ann
    groups: [sudo, adm]
    sudo: ALL=(ALL) NOPASSWD:ALL
    lock_passwd: true
    ssh_authorized_keys: [` + key + `]
packages: [nginx, [curl, "7.0"], {snap: [lxd]}]
package_update: true
write_files:
  - path: /etc/motd
    permissions: '0644'
    content: |
      on {{.Host}}
runcmd:
  - systemctl restart nginx
  - [sh, -c, "sleep 1", 5]
growpart: {mode: auto}
ca_certs: {remove_defaults: true}
`), ""},
		{"only a comment", config("# later\n"), ""},
		{"for jinja", user(jinja + "\n#cloud-config\nhostname: {{ ds.x }}\n"), ""},
		{
			"no header", user("packages: [nginx]\n"),
			"user_data, line 1: found packages: [nginx], want a first line #cloud-config, #!/bin/sh, or another that cloud-init knows",
		},
		{"not YAML", config("packages: [nginx\n"), "user_data, line 2: found a syntax error"},
		{"a list", config("- nginx\n"), "user_data, line 2: found a list, want a mapping"},
		{
			"an unknown key", config("hostname: x\npackage: [nginx]\n"),
			"user_data, line 3: found package: a key that cloud-init does not have, want one of its keys; did you mean packages?",
		},
		{"a key spelt otherwise", config("run-cmd: []\n"), "did you mean runcmd?"},
		{
			"users that are a number", config("users: 3\n"),
			"user_data, line 2: found users: the number 3, want a list of users or text or a mapping",
		},
		{
			"a user's keys in one text", config("users:\n  - name: ann\n    ssh_authorized_keys: " + key + "\n"),
			"user_data, line 4: found users[0].ssh_authorized_keys: text ssh-ed25519",
		},
		{"keys in one text", config("ssh_authorized_keys: " + key + "\n"), "want a list of texts"},
		{
			"packages in one text", config("packages: nginx\n"),
			"user_data, line 2: found packages: text nginx, want a list of packages or a mapping",
		},
		{"a package that is a number", config("packages:\n  - nginx\n  - 7\n"), "user_data, line 4: found packages[1]: the number 7"},
		{"a command that is a mapping", config("runcmd:\n  - echo: x\n"), "user_data, line 3: found runcmd[0]: a mapping"},
		{
			"a file without path", config("write_files:\n  - content: x\n"),
			"user_data, line 3: found write_files[0].path: nothing, want it",
		},
		{
			"a mode that is a number", config("write_files:\n  - path: /x\n    permissions: 0644\n"),
			"write_files[0].permissions: the number 0644, want it in quotes, such as '0644'",
		},
		{"a value that is none", user("#!/bin/sh\n{{.Nome}}"), "user_data: found a template that does not work (line 2:"},
		{"too long", user("#!/bin/sh\n" + strings.Repeat("x", MaxBytes)), "user_data: found 65546 bytes, want at most 65536"},
		{"nested without end", config(strings.Repeat("[", 60000)), "user_data: found 60000 of [, { and - -"},
		{"vendor data", bus.CloudInit{VendorData: bus.Text{Text: "#cloud-config\nusers: 1\n"}}, "vendor_data, line 2: found users"},
		{"network 1", network("version: 1\nconfig:\n  - type: physical\n    name: eth0\n"), ""},
		{"network 2", network("network:\n  version: 2\n  ethernets: {eth0: {dhcp4: true}}\n"), ""},
		{"network 3", network("version: 3\n"), "network_config, line 1: found version: 3, want 1 or 2"},
		{"network without version", network("ethernets: {}\n"), "network_config, line 1: found version: nothing, want 1 or 2"},
		{"network 1 without config", network("version: 1\n"), "network_config, line 1: found config: nothing, want it"},
		{
			"network 2 with a list", network("version: 2\nethernets: [eth0]\n"),
			"network_config, line 2: found ethernets: a list, want a mapping",
		},
		{"a key", keys("# of ann\n" + key + "\n"), ""},
		{"a key with options", keys(`from="10.0.0.0/8" ` + key), ""},
		{"no key", keys("# none\n"), "ssh_keys[0]: found no key"},
		{"a word", keys("ann"), "ssh_keys[0], line 1: found ann, want a public key"},
		{"a private key", keys("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n"), "ssh_keys[0], line 1: found a private key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, p := range Check(tt.c, "web") {
				got = append(got, p.String())
			}
			switch {
			case tt.want == "" && len(got) > 0, tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if strings.Contains(strings.Join(got, ""), "c2VjcmV0") {
				t.Errorf("shows a secret: %q", got)
			}
		})
	}
}
