package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
)

// orderList is one order of removal, or a list of some.
func orderList(p *[]bus.ScaleIn) scalar {
	words := make([]string, 0, len(bus.ScaleIns()))
	for _, o := range bus.ScaleIns() {
		words = append(words, string(o))
	}
	one := func() *Schema {
		return &Schema{Type: "string", Pattern: "^(" + strings.Join(words, "|") + "|" + bus.ScaleInHookPattern + ")$"}
	}
	read := func(n ast.Node) []bus.ScaleIn {
		nodes := []ast.Node{n}
		if list, ok := n.(*ast.SequenceNode); ok {
			nodes = list.Values
		}
		orders := []bus.ScaleIn{}
		for _, n := range nodes {
			s, _ := stringOf(n)
			orders = append(orders, bus.ScaleIn(s))
		}
		return orders
	}
	return scalar{
		form: Schema{AnyOf: []*Schema{one(), {Type: "array", Items: one(), MinItems: 1, UniqueItems: true}}},
		want: strings.Join(words, ", ") + " or hook:NAME, or a list of some of them, each once and one hook at most",
		set: func(n ast.Node) bool {
			orders := read(n)
			if bus.CheckScaleIn(orders) != nil {
				return false
			}
			*p = orders
			return true
		},
		why: func(n ast.Node) string {
			if _, list := n.(*ast.SequenceNode); !list {
				return ""
			}
			return bus.CheckScaleIn(read(n)).Error()
		},
		get: func() string {
			words := make([]string, len(*p))
			for i, o := range *p {
				words[i] = string(o)
			}
			if len(words) == 1 {
				return words[0]
			}
			return "[" + strings.Join(words, ", ") + "]"
		},
	}
}
