package seed

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// rule checks a value at a path, such as users[0].name.
type rule func(c *checker, path string, n ast.Node)

// checker collects the problems of one text.
type checker struct {
	field    string
	problems []Problem
}

func (c *checker) report(n ast.Node, path, found, allowed string) {
	line := 0
	if t := tokenOf(n); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	if path != "" {
		found = path + ": " + found
	}
	c.problems = append(c.problems, Problem{c.field, line, found, allowed})
}

func tokenOf(n ast.Node) *token.Token {
	if m, is := n.(*ast.MappingNode); is && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	return n.GetToken()
}

// kind names a value's type, for messages.
func kind(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return "text " + clip(n.Value)
	case *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode:
		return "the number " + n.GetToken().Value
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode:
		return "a mapping"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

// shape is one type that a value may have.
type shape struct {
	name string
	is   func(ast.Node) bool
	then rule // checks its content; nil: unchecked
}

// oneOf accepts a value of any of the shapes.
func oneOf(shapes ...shape) rule {
	names := make([]string, len(shapes))
	for i, s := range shapes {
		names[i] = s.name
	}
	return func(c *checker, path string, n ast.Node) {
		switch n := n.(type) {
		case *ast.AnchorNode:
			oneOf(shapes...)(c, path, n.Value)
			return
		case *ast.AliasNode, *ast.TagNode:
			return // an alias is not followed
		}
		for _, s := range shapes {
			if s.is(n) {
				if s.then != nil {
					s.then(c, path, n)
				}
				return
			}
		}
		c.report(n, path, kind(n), strings.Join(names, " or "))
	}
}

func isA[T ast.Node](n ast.Node) bool { _, is := n.(T); return is }

var (
	str     = shape{"text", func(n ast.Node) bool { return isA[*ast.StringNode](n) || isA[*ast.LiteralNode](n) }, nil}
	boolean = shape{"true or false", isA[*ast.BoolNode], nil}
	number  = shape{"a number", func(n ast.Node) bool { return isA[*ast.IntegerNode](n) || isA[*ast.FloatNode](n) }, nil}
	nothing = shape{"nothing", isA[*ast.NullNode], nil}
	mapping = shape{"a mapping", isA[*ast.MappingNode], nil}
	anyList = shape{"a list", isA[*ast.SequenceNode], nil}
)

// list is a list whose items a rule checks.
func list(name string, item rule) shape {
	return shape{"a list of " + name, isA[*ast.SequenceNode], func(c *checker, path string, n ast.Node) {
		for i, value := range n.(*ast.SequenceNode).Values {
			item(c, fmt.Sprintf("%s[%d]", path, i), value)
		}
	}}
}

// keys is a mapping with a rule for each checked key, and with required keys. Keys without a rule are not checked.
func keys(rules map[string]rule, required ...string) shape {
	return shape{"a mapping", isA[*ast.MappingNode], func(c *checker, path string, n ast.Node) {
		seen := map[string]bool{}
		for _, entry := range n.(*ast.MappingNode).Values {
			key := entry.Key.GetToken().Value
			seen[key] = true
			if check := rules[key]; check != nil {
				check(c, join(path, key), entry.Value)
			}
		}
		for _, key := range required {
			if !seen[key] {
				c.report(n, join(path, key), "nothing", "it")
			}
		}
	}}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var (
	texts    = list("texts", oneOf(str))
	commands = oneOf(list("commands: texts, or lists of texts", oneOf(str, list("texts", oneOf(str, number, boolean)), nothing)))
	user     = keys(map[string]rule{
		"name": oneOf(str), "gecos": oneOf(str), "shell": oneOf(str), "passwd": oneOf(str), "hashed_passwd": oneOf(str),
		"plain_text_passwd": oneOf(str), "homedir": oneOf(str), "primary_group": oneOf(str), "lock_passwd": oneOf(boolean),
		"system":         oneOf(boolean),
		"no_create_home": oneOf(boolean), "ssh_authorized_keys": oneOf(texts), "ssh_import_id": oneOf(texts),
		"groups": oneOf(str, texts, mapping), "sudo": oneOf(str, texts, boolean, nothing),
	})
	writtenFile = keys(map[string]rule{
		"path": oneOf(str), "content": oneOf(str), "owner": oneOf(str), "encoding": oneOf(str), "append": oneOf(boolean),
		"defer":       oneOf(boolean),
		"permissions": quotedMode, "source": oneOf(mapping),
	}, "path")
)

// quotedMode wants a file mode in quotes: unquoted, 0644 is octal in YAML 1.1 and decimal in YAML 1.2.
func quotedMode(c *checker, path string, n ast.Node) {
	if number.is(n) {
		c.report(n, path, kind(n), "it in quotes, such as '0644'")
		return
	}
	oneOf(str)(c, path, n)
}

// typed are the #cloud-config keys whose values are checked.
var typed = map[string]rule{
	"users":                      oneOf(list("users", oneOf(str, user, texts)), str, mapping),
	"user":                       oneOf(str, user),
	"groups":                     oneOf(str, mapping, anyList),
	"ssh_authorized_keys":        oneOf(texts),
	"packages":                   oneOf(list("packages", oneOf(str, texts, mapping)), mapping),
	"runcmd":                     commands,
	"bootcmd":                    commands,
	"write_files":                oneOf(list("files", oneOf(writtenFile))),
	"hostname":                   oneOf(str),
	"fqdn":                       oneOf(str),
	"timezone":                   oneOf(str),
	"locale":                     oneOf(str, boolean),
	"final_message":              oneOf(str),
	"password":                   oneOf(str),
	"package_update":             oneOf(boolean),
	"package_upgrade":            oneOf(boolean),
	"package_reboot_if_required": oneOf(boolean),
	"preserve_hostname":          oneOf(boolean),
	"disable_root":               oneOf(boolean),
	"ssh_deletekeys":             oneOf(boolean),
	"ssh_pwauth":                 oneOf(boolean, str),
	"mounts":                     oneOf(list("mounts, each a list", oneOf(anyList))),
	"chpasswd":                   oneOf(mapping),
	"growpart":                   oneOf(mapping),
	"ntp":                        oneOf(mapping, nothing),
	"power_state":                oneOf(mapping),
	"apt":                        oneOf(mapping),
}

// known are the other #cloud-config keys, up to cloud-init 25.1.
var known = strings.Fields(`
allow_public_ssh_keys ansible apk_repos apt_pipelining apt_reboot_if_required apt_update apt_upgrade authkey_hash autoinstall
byobu_by_default ca-certs ca_certs chef cloud_config_modules cloud_final_modules cloud_init_modules create_hostname_file
datasource datasource_list debug device_aliases disable_ec2_metadata disable_piwiz disable_root_opts disk_setup drivers
enable_rpi_connect fan fs_setup grub-dpkg grub_dpkg keyboard landscape launch-index locale_configfile lxd manage_etc_hosts
manage_resolv_conf mcollective merge_how merge_type migrate mount_default_fields network no_ssh_fingerprints output phone_home
prefer_fqdn_over_hostname puppet random_seed reporting resize_rootfs resolv_conf rh_subscription rpi_interfaces rpi_userconf
rsyslog salt_minion snap spacewalk ssh ssh_fp_console_blacklist ssh_genkeytypes ssh_import_id ssh_key_console_blacklist ssh_keys
ssh_publish_hostkeys ssh_quiet_keygen swap system_info ubuntu_advantage ubuntu_pro updates vendor_data version wireguard
yum_repo_dir yum_repos zypper`)

// cloudConfig checks a #cloud-config: that cloud-init knows its keys, and the types of the common ones.
func cloudConfig(c *checker, path string, n ast.Node) {
	oneOf(keys(typed))(c, path, n)
	m, is := n.(*ast.MappingNode)
	if !is {
		return
	}
	for _, entry := range m.Values {
		key := entry.Key.GetToken().Value
		if typed[key] == nil && !slices.Contains(known, key) && !entry.Key.IsMergeKey() {
			c.report(entry.Key, key, "a key that cloud-init does not have", "one of its keys"+suggestion(key))
		}
	}
}

// suggestion returns the key that was probably meant, which differs in case, '-', '_', or a plural s.
func suggestion(key string) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)), "s")
	}
	all := slices.Clone(known)
	for k := range typed {
		all = append(all, k)
	}
	slices.Sort(all)
	for _, k := range all {
		if plain(k) == plain(key) {
			return "; did you mean " + k + "?"
		}
	}
	return ""
}

// networkConfig checks a network config of version 1 or 2, also one below a key "network".
func networkConfig(c *checker, path string, n ast.Node) {
	m, is := n.(*ast.MappingNode)
	if !is {
		c.report(n, path, kind(n), "a mapping with version: 1 or 2")
		return
	}
	for _, entry := range m.Values {
		switch entry.Key.GetToken().Value {
		case "network":
			if path == "" {
				networkConfig(c, "network", entry.Value)
				return
			}
		case "version":
			switch v := entry.Value.GetToken().Value; v {
			case "1":
				oneOf(keys(map[string]rule{"config": oneOf(anyList, str)}, "config"))(c, path, n)
			case "2":
				nics := oneOf(mapping)
				oneOf(keys(map[string]rule{
					"ethernets": nics, "bonds": nics, "bridges": nics, "vlans": nics, "renderer": oneOf(str),
				}))(c, path, n)
			default:
				c.report(entry.Value, join(path, "version"), v, "1 or 2")
			}
			return
		}
	}
	c.report(n, join(path, "version"), "nothing", "1 or 2")
}
