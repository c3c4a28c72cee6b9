package config

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// short is the duration without parts that are zero: 2m for 2m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// stringOf is the node's value if it is a string.
func stringOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// wordOf is the node's value if it is a string or a number, as it is written; else "".
func wordOf(n ast.Node) string {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value
	}
	s, _ := stringOf(n)
	return s
}

// describe is a node as a problem shows it: on one line, not too long, without the password of a URL.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		s := password.ReplaceAllString(n.Value, "://***@")
		if n.Token.Type == token.StringType {
			return clip(s)
		}
		return clip(strconv.Quote(s))
	case *ast.LiteralNode:
		return clip(strconv.Quote(password.ReplaceAllString(n.Value.Value, "://***@")))
	}
	return clip(n.GetToken().Value)
}

// clip makes a text fit on a line that people read.
func clip(s string) string {
	if !isPrintable(s) {
		s = strconv.Quote(s)
	}
	if r := []rune(s); len(r) > 80 {
		s = string(r[:77]) + "..."
	}
	return s
}

func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// quote is a string as YAML: in quotes unless it means itself without them.
func quote(s string) string {
	if t := lexer.Tokenize(s); len(t) == 1 && t[0].Type == token.StringType && t[0].Value == s {
		return s
	}
	return strconv.Quote(s)
}

// oneOf is "a, b or c".
func oneOf(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
