package seed

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/vmscaler/vmscaler/bus"
)

// Label is the volume label by which cloud-init's NoCloud source finds the seed.
const Label = "cidata"

// MaxBytes is the maximum size of each text, before and after its values are filled in.
const MaxBytes = 64 << 10

// Values are available to user data that is a template.
type Values struct {
	Name     string // of the VM, such as web-3
	Group    string
	Index    int    // 3 of web-3
	Host     string // that the VM is made on
	Template string
	UUID     string // of the VM
	Tags     string // of the group, with spaces between them
}

// Image returns the seed of one VM: a file system with its meta-data, and the group's user data, vendor data and network config.
// It returns an error if a template fails or a text is too long.
func Image(c bus.CloudInit, v Values) ([]byte, error) {
	user, err := userData(c.UserData.Text, v)
	if err != nil {
		return nil, fmt.Errorf("user_data: %w", err)
	}
	files := []file{{"meta-data", metaData(c, v)}} // in the order of their names
	if c.NetworkConfig.Text != "" {
		files = append(files, file{"network-config", []byte(c.NetworkConfig.Text)})
	}
	files = append(files, file{"user-data", user}) // required by cloud-init, even if empty
	if c.VendorData.Text != "" {
		files = append(files, file{"vendor-data", []byte(c.VendorData.Text)})
	}
	return image(Label, files), nil
}

// metaData returns the meta-data as YAML, with strings quoted as in JSON.
func metaData(c bus.CloudInit, v Values) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "instance-id: %q\nlocal-hostname: %q\n", v.UUID, v.Name)
	list := func(name string, values []string) {
		for i, value := range values {
			if i == 0 {
				fmt.Fprintf(&b, "%s:\n", name)
			}
			fmt.Fprintf(&b, "  - %q\n", value)
		}
	}
	list("public-keys", Keys(c))
	list("tags", strings.Fields(v.Tags))
	return b.Bytes()
}

// Keys returns the SSH keys of a group, without comments and empty lines.
func Keys(c bus.CloudInit) []string {
	var keys []string
	for _, text := range c.SSHKeys {
		for line := range strings.Lines(text.Text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				keys = append(keys, line)
			}
		}
	}
	return keys
}

// jinja is the first line of user data that cloud-init itself renders: its braces are not ours to fill in.
const jinja = "## template: jinja"

// userData renders the user data of a VM. Templates may not loop or call others, and their output is bounded, so that rendering
// always ends.
func userData(text string, v Values) ([]byte, error) {
	if firstLine(text) == jinja {
		return []byte(text), nil
	}
	t, err := template.New("user_data").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, unnamed(err)
	}
	for _, part := range t.Templates() {
		if part != t {
			return nil, fmt.Errorf("found a template %q within, want none", part.Name())
		}
	}
	if t.Tree == nil {
		return nil, nil // empty
	}
	if node := loop(t.Root); node != nil {
		return nil, fmt.Errorf("found %s, want values, if and with only", node)
	}
	out := &bounded{left: MaxBytes}
	if err := t.Execute(out, v); errors.Is(err, errTooLong) {
		return nil, err
	} else if err != nil {
		return nil, unnamed(err)
	}
	return out.Bytes(), nil
}

// Parts of text/template's errors about Go's types and about the name that templates have here.
var (
	noField   = regexp.MustCompile(`can't evaluate field (\S+) in type \S+`)
	executing = regexp.MustCompile(`executing "user_data" at `)
)

// unnamed removes the parts of a template error that mean nothing to a user: the package's name, Go's types, and the template's
// name. The line number stays.
func unnamed(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: user_data:")
	text = noField.ReplaceAllString(executing.ReplaceAllString(text, "at "), "there is no .$1")
	return errors.New("line " + text)
}

// loop returns a node that a template may not have, such as a loop; nil if there is none.
func loop(n parse.Node) parse.Node {
	branch := func(b *parse.BranchNode) parse.Node {
		if found := loop(b.List); found != nil || b.ElseList == nil {
			return found
		}
		return loop(b.ElseList)
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, part := range n.Nodes {
			if found := loop(part); found != nil {
				return found
			}
		}
	case *parse.IfNode:
		return branch(&n.BranchNode)
	case *parse.WithNode:
		return branch(&n.BranchNode)
	case *parse.RangeNode, *parse.TemplateNode:
		return n
	}
	return nil
}

var errTooLong = fmt.Errorf("found more than %d KiB with its values, want less", MaxBytes>>10)

// bounded is a buffer that accepts a limited number of bytes.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(line, " \t\r")
}
