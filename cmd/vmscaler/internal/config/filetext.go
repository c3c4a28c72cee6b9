package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/bus"
)

// filePrefix begins a value whose text is in a file.
const filePrefix = "file:"

// fileText is a text, or file: with the path of the file that has it. A path is relative to the configuration's folder.
type fileText struct {
	p    *bus.Text
	want string
}

func (t fileText) decode(d *decoder, path string, n ast.Node) {
	want := t.want + ", or " + filePrefix + "PATH of a file with it"
	s, isText := stringOf(n)
	if !isText {
		d.problem(path, describe(n), want)
		return
	}
	name, isFile := strings.CutPrefix(s, filePrefix)
	if !isFile {
		*t.p = bus.Text{Text: s}
		return
	}
	content, err := d.readText(name)
	if err != nil {
		d.problem(path, clip(s)+" ("+clip(err.Error())+")",
			fmt.Sprintf("a file that can be read, of at most %d KiB", seed.MaxBytes>>10))
		return
	}
	*t.p = bus.Text{Text: content, File: name}
}

// readText is the text of a file that the configuration names.
func (d *decoder) readText(name string) (string, error) {
	f, err := openRegular(d.besideFile(name))
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // its name is said already
	}
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, seed.MaxBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if len(data) > seed.MaxBytes {
		return "", errors.New("it is longer")
	}
	if strings.ContainsRune(string(data), 0) {
		return "", errors.New("it is no text")
	}
	return string(data), nil
}

// besideFile is a path relative to the configuration's folder; ~/ is the home of the user who runs the program.
func (d *decoder) besideFile(name string) string {
	if rest, is := strings.CutPrefix(name, "~/"); is {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.file), name)
}

func (t fileText) render() (string, []string) { return renderText(*t.p) }

// renderText is a text as a block of lines where it has several.
func renderText(t bus.Text) (word string, below []string) {
	if t.File != "" {
		return quote(filePrefix + t.File), nil
	}
	body := strings.TrimSuffix(t.Text, "\n")
	lines := strings.Split(body, "\n")
	if !isBlock(lines) || strings.HasPrefix(body, filePrefix) {
		return strconv.Quote(t.Text), nil
	}
	if word = "|"; body == t.Text {
		word = "|-"
	}
	return word, lines
}

// isBlock reports whether lines mean themselves in a block of YAML, as the parser reads it.
func isBlock(lines []string) bool {
	first, last := lines[0], lines[len(lines)-1]
	if len(lines) < 2 || first == "" || first[0] == ' ' || last == "" {
		return false
	}
	return !slices.ContainsFunc(lines, func(line string) bool {
		return strings.TrimRight(line, " \t") != line || strings.HasPrefix(line, "\t") ||
			!isPrintable(strings.ReplaceAll(line, "\t", ""))
	})
}

// fileTexts is a list of texts.
type fileTexts struct {
	p    *[]bus.Text
	want string // of each
}

func (t fileTexts) decode(d *decoder, path string, n ast.Node) {
	seq, is := n.(*ast.SequenceNode)
	if !is {
		d.problem(path, describe(n), "a list, each item "+t.want)
		return
	}
	var items []bus.Text // nil if there are none, as without the key
	for i, item := range seq.Values {
		child := path + "[" + strconv.Itoa(i) + "]"
		d.lines[child] = positionOf(item)
		items = append(items, bus.Text{})
		if item = d.plain(child, item); item != nil {
			fileText{&items[i], t.want}.decode(d, child, item)
		}
	}
	*t.p = items
}

func (t fileTexts) render() (string, []string) {
	if len(*t.p) == 0 {
		return "[]", nil
	}
	var lines []string
	for _, item := range *t.p {
		word, below := renderText(item)
		lines = append(lines, "- "+word)
		for _, line := range below {
			lines = append(lines, "  "+line)
		}
	}
	return "", lines
}

// textProblem reports on a text, in which line is from 1; 0 is about all of it. Of a text in a file it is that file's line.
func (d *decoder) textProblem(field string, t bus.Text, line int, found, allowed string) {
	at := locate(d.lines, field)
	problem := Problem{File: d.file, Line: at.line, Column: at.column, Field: field, Found: found, Allowed: allowed}
	switch {
	case t.File != "":
		problem.File, problem.Line, problem.Column = d.besideFile(t.File), line, 1
	case line > 0 && strings.Contains(t.Text, "\n"):
		problem.Line += line // the text begins below its key
	}
	d.problems = append(d.problems, problem)
}

// seed checks what a group's VMs read at their first boot.
func (d *decoder) seed(path string, g bus.Group) {
	for _, p := range seed.Check(g.CloudInit, g.Name) {
		if field := path + "." + p.Field; !d.bad(field) {
			d.textProblem(field, seedText(g.CloudInit, p.Field), p.Line, p.Found, p.Allowed)
		}
	}
}

// seedText is the text that a problem is about.
func seedText(c bus.CloudInit, field string) bus.Text {
	switch field {
	case "user_data":
		return c.UserData
	case "vendor_data":
		return c.VendorData
	case "network_config":
		return c.NetworkConfig
	}
	for i, key := range c.SSHKeys {
		if field == fmt.Sprintf("ssh_keys[%d]", i) {
			return key
		}
	}
	return bus.Text{}
}
