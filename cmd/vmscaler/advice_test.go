package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// advice is a command line that a message or a document tells people to type.
type advice struct {
	where, line string
	text        string // in which it stands; of the code's alone
	copied      bool   // it stands in a block for a shell, where a name alone is a command, too
}

// TestAdvice: every command that a message, a help text or a document names exists, with flags that exist, and as many
// arguments as it wants.
func TestAdvice(t *testing.T) {
	all := append(adviceInCode(t), adviceInDocs(t)...)
	for _, want := range []string{
		"vmscaler down", "vmscaler run", "vmscaler bus credentials", "vmscaler check",
		"vmscaler template import", "vmscaler setup -c /etc/", "vmscaler completion zsh",
	} {
		if !slices.ContainsFunc(all, func(a advice) bool { return strings.HasPrefix(a.line, want) }) {
			t.Errorf("%q was not found: the search is broken", want)
		}
	}
	if len(all) < 150 {
		t.Errorf("%d were found, want more: the search is broken", len(all))
	}
	for _, a := range all {
		err := typed(a.line)
		if err == nil && a.copied {
			err = whole(a.line)
		}
		if err != nil {
			t.Errorf("%s: %s: %s", a.where, a.line, err)
		}
	}
}

// ownAdvice are the files whose advice to remove something is about what is this config's, or was made by the command that says
// so.
var ownAdvice = map[string]string{
	"cmd/vmscaler/run.go":              "help text",
	"cmd/vmscaler/protect.go":          "help text",
	"cmd/vmscaler/stagetexts.go":       "of the groups of its config, which it has counted",
	"cmd/vmscaler/templaterm.go":       "of a group of the config, which it has looked up",
	"actuator/install/build.go":        "the machine that the command itself has made and keeps",
	"actuator/trial/once.go":           "what it was told to remove itself, with the lock of trials",
	"actuator/template/upload.go":      "a removal that had begun",
	"actuator/template/demo/build.go":  "a removal that had begun",
	"cmd/vmscaler/templatecheck.go":    "help text",
	"cmd/vmscaler/templateinstall.go":  "help text",
	"cmd/vmscaler/templateprebuild.go": "help text",
}

// TestAdviceSparesWhatIsNotOurs: no message advises to remove VMs, disks or templates that are not shown to be this config's, but
// where it says that only their owner may.
func TestAdviceSparesWhatIsNotOurs(t *testing.T) {
	removes := regexp.MustCompile(`^vmscaler (down|sweep|template rm)\b`)
	conditional := 0
	for _, a := range adviceInCode(t) {
		file, _, _ := strings.Cut(strings.TrimPrefix(filepath.ToSlash(a.where), "../../"), ":")
		if !removes.MatchString(a.line) || strings.Contains(a.line, "--dry-run") || ownAdvice[file] != "" {
			continue
		}
		if !strings.Contains(a.text, "only if") {
			t.Errorf("%s: it advises `%s`, whoever's it is: %q", a.where, a.line, a.text)
		}
		conditional++
	}
	if conditional == 0 {
		t.Error("none was found: the search is broken")
	}
}

// TestTyped: what the test above looks for is found.
func TestTyped(t *testing.T) {
	for line, good := range map[string]bool{
		"vmscaler down GROUP": true, "vmscaler down GROUP --uri X": true, "vmscaler": true, "vmscaler dry-run GROUP --off": true,
		"vmscaler pause GROUP [out] [in] [repair] [health] [hooks] [schedule]": true,
		"vmscaler bus credentials ROLE":                                        true,
		"vmscaler run --setup":                                                 true, "vmscaler dashboard --nats-url ": true,
		"vmscaler destroy GROUP": false, "vmscaler down --all": false, "vmscaler bus keys": false,
		"vmscaler template import web": false, "vmscaler resume web outt": false,
	} {
		if err := typed(line); (err == nil) != good {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// typed is what is wrong with a command line. Its arguments may be placeholders, and the last one of a text that goes on
// may be missing.
func typed(line string) error {
	for _, end := range []string{" || ", " && ", " | "} {
		line, _, _ = strings.Cut(line, end)
	}
	words := regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(line, -1)[1:]
	if len(words) > 0 && words[0] == "x" {
		return nil // which command it is is put in at run time
	}
	cmd, rest, err := rootCommand().Find(words)
	if err != nil {
		return err
	}
	for i, word := range rest { // [out] is an argument that may be left out
		rest[i] = strings.Trim(word, "[]'\"")
	}
	var flags []string
	args := []string{}
	for i := 0; i < len(rest); i++ {
		if rest[i] == "--" { // what follows is no flag, whatever it looks like
			args = append(args, rest[i+1:]...)
			break
		}
		if !strings.HasPrefix(rest[i], "-") || rest[i] == "-" {
			if rest[i] != "" && rest[i] != "..." {
				args = append(args, rest[i])
			}
			continue
		}
		flags = append(flags, rest[i])
		name, _, valued := strings.Cut(strings.TrimLeft(rest[i], "-"), "=")
		f := lookUp(cmd, name, strings.HasPrefix(rest[i], "--"))
		if f == nil {
			return usageError{&pflag.NotExistError{}}
		}
		if f.NoOptDefVal == "" && !valued {
			i++ // its value
		}
	}
	if !cmd.Runnable() || cmd.HasSubCommands() && len(args) == 0 {
		return nil
	}
	given := func(flag string) bool { return slices.Contains(flags, flag) }
	if slices.ContainsFunc([]string{"--release", "--none", "--help", "-h"}, given) {
		return nil // it changes how many arguments there are
	}
	if len(args) == 0 && len(flags) == 0 {
		return nil // a text speaks of the command by its name alone
	}
	for i, arg := range args {
		if value, is := map[string]string{
			"TOKEN": strings.Repeat("A", 26), "$token": strings.Repeat("A", 26),
			"STAGE": "decider",
		}[arg]; is {
			args[i] = value
		}
	}
	return cmd.ValidateArgs(args)
}

// whole is what is missing in a command line that people copy: the flags that its usage has outside of brackets, and arguments
// where it has none.
func whole(line string) error {
	for _, end := range []string{" || ", " && ", " | "} {
		line, _, _ = strings.Cut(line, end)
	}
	words := strings.Fields(line)[1:]
	if len(words) > 0 && words[0] == "x" || slices.ContainsFunc(words, func(w string) bool { return w == "--help" || w == "-h" }) {
		return nil
	}
	cmd, rest, err := rootCommand().Find(words)
	if err != nil {
		return err
	}
	usage := regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(cmd.Use, "")
	for _, flag := range regexp.MustCompile(` --?[a-z][a-z-]*`).FindAllString(usage, -1) {
		flag = strings.TrimSpace(flag)
		name := strings.TrimLeft(flag, "-")
		f := lookUp(cmd, name, strings.HasPrefix(flag, "--"))
		if f == nil {
			return fmt.Errorf("its usage names %s, which is no flag", flag)
		}
		if !slices.ContainsFunc(rest, func(w string) bool {
			w, _, _ = strings.Cut(w, "=")
			return w == "--"+f.Name || f.Shorthand != "" && w == "-"+f.Shorthand
		}) {
			return fmt.Errorf("found no %s, want `%s`", flag, cmd.UseLine())
		}
	}
	if len(rest) == 0 && cmd.Runnable() && !cmd.HasSubCommands() {
		return cmd.ValidateArgs(nil)
	}
	return nil
}

// TestWhole: a line that a person copies has all that its command wants.
func TestWhole(t *testing.T) {
	for line, good := range map[string]bool{
		"vmscaler apply -f vmscaler.yaml": true, "vmscaler apply --file=x --dry-run": true, "vmscaler apply": false,
		"vmscaler apply --dry-run": false, "vmscaler run": true, "vmscaler status": true, "vmscaler template show": false,
		"vmscaler template install web": false, "vmscaler template install web --iso x": true, "vmscaler apply --help": true,
	} {
		if err := whole(line); (err == nil) != good {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func lookUp(cmd *cobra.Command, name string, long bool) *pflag.Flag {
	cmd.InheritedFlags()
	cmd.InitDefaultHelpFlag()
	if !long {
		return cmd.Flags().ShorthandLookup(name[:1])
	}
	if name == "version" {
		return &pflag.Flag{NoOptDefVal: "true"}
	}
	return cmd.Flags().Lookup(name)
}

var quoted = regexp.MustCompile("`(?:bin/|\\./)?(vmscaler(?: [^`]*)?)`")

// adviceInCode are the commands in backquotes of all texts of the program. What is put into a text at run time is a
// placeholder here.
func adviceInCode(t *testing.T) (found []advice) {
	t.Helper()
	verb := regexp.MustCompile(`%[-+# 0-9.*]*[a-zA-Z]`)
	files := token.NewFileSet()
	err := fs.WalkDir(os.DirFS("../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, filepath.Join("../..", path), nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, is := n.(*ast.CallExpr); is { // a finding's remedy
				if sel, is := call.Fun.(*ast.SelectorExpr); is && sel.Sel.Name == "vmscaler" && len(call.Args) > 0 {
					if text, is := literal(call.Args[0]); is {
						where := files.Position(n.Pos()).String()
						found = append(found, advice{where: where, line: "vmscaler " + text, text: text})
					}
				}
				return true
			}
			e, is := n.(ast.Expr)
			if !is {
				return true
			}
			switch n.(type) {
			case *ast.BasicLit, *ast.BinaryExpr:
			default:
				return true
			}
			text, isText := literal(e)
			if !isText {
				return true
			}
			for _, m := range quoted.FindAllStringSubmatch(verb.ReplaceAllString(text, "x"), -1) {
				found = append(found, advice{where: files.Position(n.Pos()).String(), line: m[1], text: text})
			}
			return false
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// literal is a text of constants, with X for all else.
func literal(e ast.Expr) (text string, is bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "X", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "X", false
		}
		a, isA := literal(e.X)
		b, isB := literal(e.Y)
		return a + b, isA || isB
	}
	return "X", false
}

// inShell is a command in a line for a shell: at its beginning, as another user, or in another command.
var inShell = regexp.MustCompile(`(?:^|^sudo |\()(?:bin/)?vmscaler ([^|)]*)`)

// inComment is a command in the comment of such a line.
var inComment = regexp.MustCompile(`#.*\b(vmscaler(?: --?[a-z-]+| [A-Za-z0-9./=:_-]+)+)`)

// adviceInDocs are the commands in backquotes and in blocks of the documents and examples.
func adviceInDocs(t *testing.T) (found []advice) {
	t.Helper()
	paths := []string{"../../README.md", "../../CONTRIBUTING.md", "../../examples/vmscaler.yaml", "../../docker-compose.yml"}
	docs, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	docs = slices.DeleteFunc(docs, func(path string) bool { return path == cliPage }) // it is the help, which is in the code
	for _, path := range append(paths, docs...) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		inBlock := false
		for line := range strings.Lines(text) {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				inBlock = !inBlock
				continue
			}
			if m := inComment.FindStringSubmatch(line); inBlock && m != nil {
				found = append(found, advice{where: path, line: m[1], copied: true})
			}
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			for _, m := range inShell.FindAllStringSubmatch(line, -1) {
				if inBlock {
					command := strings.TrimRight(strings.TrimSpace(m[1]), "\\&;")
					found = append(found, advice{where: path, line: "vmscaler " + command, copied: true})
				}
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(strings.ReplaceAll(text, "\n", " "), -1) {
			if m[1] != "vmscaler" && !strings.HasPrefix(m[1], "vmscaler ") {
				continue
			}
			found = append(found, advice{where: path, line: m[1]})
		}
	}
	return found
}
