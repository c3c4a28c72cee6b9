package expression

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	maxNodes = 200 // of the syntax tree
	maxText  = 1 << 10
	// maxMetrics is how many metrics of their own an expression may name.
	maxMetrics = 16
	// maxValue is the highest value that is believed: so many times as much as the VMs should have.
	maxValue = 1e6
)

// functions are all that can be called, beside metric.
var functions = []string{"abs", "ceil", "floor", "max", "min", "round"} //nolint:gochecknoglobals // it is not changed

// Number is an input: nil is unknown, for a reason.
type Number struct {
	Value *float64
	Why   string // in words, where it is not known
}

// Inputs are what an expression can name, each of one VM: means over the ready VMs.
type Inputs struct {
	CPUPercent    *float64
	MemoryPercent *float64
	LoadPercent   *float64
	Rates         bus.Rates
	// Metrics are numbers of the whole group, by name, of which each VM has its share.
	Metrics map[string]Number
	VMs     int // ready ones; while there is none, "vms" is 1
}

// environment is what an expression sees, with the names by which it does.
type environment struct {
	CPU        float64 `expr:"cpu"`
	Memory     float64 `expr:"memory"`
	Load       float64 `expr:"load"`
	NetworkRx  float64 `expr:"network_rx"`
	NetworkTx  float64 `expr:"network_tx"`
	DiskRead   float64 `expr:"disk_read"`
	DiskWrite  float64 `expr:"disk_write"`
	Prometheus float64 `expr:"prometheus"`
	VMs        float64 `expr:"vms"`

	Metric func(string) float64 `expr:"metric"`
}

// variable is a name that stands for a number.
type variable struct {
	name string
	of   func(Inputs) Number
	set  func(*environment, float64)
}

func known(value *float64, what string) Number {
	return Number{value, "the " + what + " is not known of each ready VM"}
}

func variables() []variable {
	return []variable{
		{"cpu", func(in Inputs) Number { return known(in.CPUPercent, "CPU") }, func(e *environment, v float64) { e.CPU = v }},
		{
			"memory", func(in Inputs) Number { return known(in.MemoryPercent, "memory") },
			func(e *environment, v float64) { e.Memory = v },
		},
		{"load", func(in Inputs) Number { return known(in.LoadPercent, "load") }, func(e *environment, v float64) { e.Load = v }},
		{
			"network_rx", func(in Inputs) Number { return known(in.Rates.NetworkRx, "network_rx") },
			func(e *environment, v float64) { e.NetworkRx = v },
		},
		{
			"network_tx", func(in Inputs) Number { return known(in.Rates.NetworkTx, "network_tx") },
			func(e *environment, v float64) { e.NetworkTx = v },
		},
		{
			"disk_read", func(in Inputs) Number { return known(in.Rates.DiskRead, "disk_read") },
			func(e *environment, v float64) { e.DiskRead = v },
		},
		{
			"disk_write", func(in Inputs) Number { return known(in.Rates.DiskWrite, "disk_write") },
			func(e *environment, v float64) { e.DiskWrite = v },
		},
		{
			bus.PrometheusMetric, func(in Inputs) Number { return in.share(bus.PrometheusMetric) },
			func(e *environment, v float64) { e.Prometheus = v },
		},
		{
			"vms", func(in Inputs) Number { return Number{Value: new(float64(max(in.VMs, 1)))} },
			func(e *environment, v float64) { e.VMs = v },
		},
	}
}

// share is what each VM has of a number of the group: all of it while none is ready.
func (in Inputs) share(metric string) Number {
	n, found := in.Metrics[metric]
	if !found {
		return Number{Why: fmt.Sprintf("the metric %s is not known", metric)}
	}
	if n.Value != nil {
		n.Value = new(*n.Value / float64(max(in.VMs, 1)))
	}
	return n
}

// Program is an expression that was checked.
type Program struct {
	run     *vm.Program
	names   []string // of the variables that it has, each once
	metrics []string // that it names by metric(), each once
}

// Compile checks an expression. The error says what is wrong with it, and where.
func Compile(text string) (*Program, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("it has %d bytes, want at most %d", len(text), maxText)
	}
	look := &inspector{}
	options := []expr.Option{
		expr.Env(environment{}), expr.AsFloat64(), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins(), expr.Patch(look),
	}
	for _, f := range functions {
		options = append(options, expr.EnableBuiltin(f))
	}
	run, err := expr.Compile(text, options...)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n") // below it the text is drawn again, with a mark
		return nil, fmt.Errorf("%s: it has the numbers %s and metric(\"NAME\"), and the functions %s", first,
			strings.Join(Names(), ", "), strings.Join(functions, ", "))
	}
	if look.err != nil {
		return nil, look.err
	}
	if len(look.metrics) > maxMetrics {
		return nil, fmt.Errorf("it names %d metrics, want at most %d", len(look.metrics), maxMetrics)
	}
	if len(look.names)+len(look.metrics) == 0 {
		return nil, errors.New("it names no signal, so that it is always the same")
	}
	return &Program{run, look.names, look.metrics}, nil
}

// Names are the variables that an expression can have.
func Names() (names []string) {
	for _, v := range variables() {
		names = append(names, v.name)
	}
	return names
}

// Metrics are the numbers of the group that the value depends on, by name; one of them may be bus.PrometheusMetric.
func (p *Program) Metrics() []string {
	metrics := slices.Clone(p.metrics)
	if p.Has(bus.PrometheusMetric) && !slices.Contains(metrics, bus.PrometheusMetric) {
		metrics = append(metrics, bus.PrometheusMetric)
	}
	return metrics
}

// Has reports whether a variable is in the expression.
func (p *Program) Has(name string) bool { return slices.Contains(p.names, name) }

// Value is the expression's value, from 0, and its inputs in words. Where it is not known it is nil, with the reason.
func (p *Program) Value(in Inputs) (value *float64, text string) {
	env, parts, shares := environment{}, []string{}, map[string]float64{}
	for _, v := range variables() {
		if !p.Has(v.name) {
			continue
		}
		n := v.of(in)
		if n.Value == nil {
			return nil, n.Why
		}
		v.set(&env, *n.Value)
		parts = append(parts, fmt.Sprintf("%s %.4g", v.name, *n.Value))
	}
	for _, name := range p.metrics {
		n := in.share(name)
		if n.Value == nil {
			return nil, n.Why
		}
		shares[name] = *n.Value
		parts = append(parts, fmt.Sprintf("%s %.4g", name, *n.Value))
	}
	env.Metric = func(name string) float64 { return shares[name] }
	result, err := expr.Run(p.run, env)
	if err != nil {
		return nil, "the expression fails: " + bus.Clip(err.Error(), 200)
	}
	inputs := strings.Join(parts, ", ")
	v, is := result.(float64)
	switch {
	case !is, math.IsNaN(v), v < 0, v > maxValue: // such as of a division by 0
		return nil, fmt.Sprintf("the expression is %v of %s, want 0 to %g", result, inputs, float64(maxValue))
	}
	return &v, inputs
}

// inspector refuses what takes more than a bounded time or memory, and notes what an expression names.
type inspector struct {
	names, metrics []string
	err            error
}

// operators are all that there is; none makes a list or searches a text.
var operators = []string{ //nolint:gochecknoglobals // it is not changed
	"+", "-", "*", "/", "**", "^", "<", "<=", ">", ">=", "==", "!=", "and", "&&", "or", "||", "not", "!",
}

// Visit implements ast.Visitor.
func (i *inspector) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConditionalNode, *ast.BuiltinNode:
	case *ast.IdentifierNode:
		if n.Value != "metric" {
			i.names = add(i.names, n.Value)
		}
	case *ast.UnaryNode:
		i.operator(n.Operator)
	case *ast.BinaryNode:
		i.operator(n.Operator)
	case *ast.CallNode:
		i.call(n)
	default:
		i.refuse("found %s, want numbers, comparisons and ?: alone", bus.Clip(n.String(), 60))
	}
}

func (i *inspector) call(n *ast.CallNode) {
	callee, is := n.Callee.(*ast.IdentifierNode)
	if !is || callee.Value != "metric" || len(n.Arguments) != 1 {
		i.refuse("found %s, want metric(\"NAME\")", bus.Clip(n.String(), 60))
		return
	}
	name, is := n.Arguments[0].(*ast.StringNode)
	if !is {
		i.refuse("found %s, want the metric's name in quotes", bus.Clip(n.String(), 60))
		return
	}
	if err := bus.CheckMetricName(name.Value); err != nil {
		i.refuse("metric: found %v", err)
		return
	}
	i.metrics = add(i.metrics, name.Value)
}

func (i *inspector) operator(op string) {
	if !slices.Contains(operators, op) {
		i.refuse("found the operator %q, want one of %s", op, strings.Join(operators, " "))
	}
}

func (i *inspector) refuse(format string, args ...any) {
	if i.err == nil {
		i.err = fmt.Errorf(format, args...)
	}
}

func add(all []string, s string) []string {
	if slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}
