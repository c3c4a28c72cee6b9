package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// scalar is a value that is one word.
type scalar struct {
	want string                  // what is allowed, as a problem says it
	set  func(n ast.Node) bool   // sets the variable, or leaves it and returns false
	why  func(n ast.Node) string // what is wrong with a value that set leaves, "" is no more than that; may be nil
	get  func() string           // the variable as YAML
	zero string                  // what to add to what is allowed where 0 is found
	bare bool                    // it is a number, which in quotes is none
	form Schema                  // what the value may be, without words; the zero value is anything
}

func (s scalar) decode(d *decoder, path string, n ast.Node) {
	if s.set(n) {
		return
	}
	found, want := describe(n), s.want
	if s.why != nil {
		if why := s.why(n); why != "" {
			found += " (" + clip(why) + ")"
		}
	}
	if i, is := n.(*ast.IntegerNode); is && i.GetToken().Value == "0" {
		want += s.zero
	}
	if text, is := stringOf(n); is && s.bare && isNumber(text) {
		want += ", without quotes"
	}
	d.problem(path, found, want)
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func (s scalar) render() (string, []string) { return s.get(), nil }

// text is a string that ok accepts. A number must be in quotes to be one: 1.10 might have been meant as 1.1.
func text(p *string, want string, ok func(string) bool) scalar {
	return scalar{
		form: Schema{Type: "string"},
		want: want,
		set: func(n ast.Node) bool {
			s, isText := stringOf(n)
			if !isText || !ok(s) {
				return false
			}
			*p = s
			return true
		},
		get: func() string { return quote(*p) },
	}
}

// checked is a string in which check finds nothing wrong.
func checked(p *string, want string, check func(string) error) scalar {
	s := text(p, want, func(s string) bool { return check(s) == nil })
	s.why = func(n ast.Node) string {
		if s, isText := stringOf(n); isText {
			if err := check(s); err != nil {
				return err.Error()
			}
		}
		return ""
	}
	return s
}

// choice is one of a few words.
func choice[T ~string](p *T, allowed ...T) scalar {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return scalar{
		form: Schema{Type: "string", Enum: words},
		want: oneOf(words),
		set: func(n ast.Node) bool {
			s, _ := stringOf(n)
			for _, a := range allowed {
				if s == string(a) {
					*p = a
					return true
				}
			}
			return false
		},
		get: func() string { return string(*p) },
	}
}

// choiceOr is one of a few words, or the word that stands for the zero value.
func choiceOr[T ~string](p *T, zero string, allowed ...T) scalar {
	return orWord(choice(p, allowed...), zero, p, "")
}

const wantYesOrNo = Yes + " or " + No

// yesOrNo is a switch, Yes or No.
func yesOrNo(p *string) scalar {
	return scalar{
		form: Schema{Type: "boolean"},
		want: wantYesOrNo,
		set: func(n ast.Node) bool {
			b, is := n.(*ast.BoolNode)
			if is {
				*p = strconv.FormatBool(b.Value)
			}
			return is
		},
		get: func() string { return *p },
	}
}

// choices is one of a few words, or a list of some of them.
func choices[T ~string](p *[]T, allowed ...T) scalar {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return scalar{
		form: Schema{AnyOf: []*Schema{
			{Type: "string", Enum: words},
			{Type: "array", Items: &Schema{Type: "string", Enum: words}, MinItems: 1, UniqueItems: true},
		}},
		want: oneOf(words) + ", or a list of some of them, each once",
		set: func(n ast.Node) bool {
			nodes := []ast.Node{n}
			if list, ok := n.(*ast.SequenceNode); ok {
				nodes = list.Values
			}
			var chosen []T
			for _, n := range nodes {
				s, _ := stringOf(n)
				if !slices.Contains(allowed, T(s)) || slices.Contains(chosen, T(s)) {
					return false
				}
				chosen = append(chosen, T(s))
			}
			if len(chosen) > 0 {
				*p = chosen
			}
			return len(chosen) > 0
		},
		get: func() string {
			var words []string
			for _, c := range *p {
				words = append(words, string(c))
			}
			if len(words) == 1 {
				return words[0]
			}
			return "[" + strings.Join(words, ", ") + "]"
		},
	}
}

// optional is a whole number from 1 to high, or null: 0.
func optional(p *int, high int) scalar {
	s := whole(p, high, "")
	return scalar{
		form: s.form.orNull(),
		want: s.want + ", or null",
		set: func(n ast.Node) bool {
			if _, null := n.(*ast.NullNode); null {
				*p = 0
				return true
			}
			return s.set(n)
		},
		get: func() string {
			if *p == 0 {
				return "null"
			}
			return s.get()
		},
	}
}

// orNull is a scalar, or null: nil.
func orNull[T any](p **T, value func(*T) scalar) scalar {
	var v T
	if *p != nil {
		v = **p
	}
	s := value(&v)
	return scalar{
		form: s.form.orNull(), bare: s.bare, zero: s.zero,
		want: s.want + ", or null",
		set: func(n ast.Node) bool {
			if _, null := n.(*ast.NullNode); null {
				*p = nil
				return true
			}
			if !s.set(n) {
				return false
			}
			*p = &v
			return true
		},
		get: func() string {
			if *p == nil {
				return "null"
			}
			return s.get()
		},
	}
}

// number is a number from low to high.
func number(p *float64, low, high float64, want string) scalar {
	return scalar{
		form: numberOrText("number", low, high, `^[-+.0-9eE]+$`),
		want: want,
		set: func(n ast.Node) bool {
			f, err := strconv.ParseFloat(wordOf(n), 64)
			if err != nil || math.IsNaN(f) || f < low || f > high {
				return false
			}
			*p = f
			return true
		},
		get: func() string { return strconv.FormatFloat(*p, 'f', -1, 64) },
	}
}

// whole is a whole number from 1 to high; why is added to what is allowed where 0 is found.
func whole(p *int, high int, why string) scalar {
	form := between(1, float64(high))
	form.Type = "integer"
	return scalar{
		form: form,
		want: fmt.Sprintf("a whole number from 1 to %d", high), bare: true,
		zero: why,
		set: func(n ast.Node) bool {
			if _, ok := n.(*ast.IntegerNode); !ok {
				return false
			}
			i, err := strconv.Atoi(n.GetToken().Value) // decimal only: 010 is ten
			if err != nil || i < 1 || i > high {
				return false
			}
			*p = i
			return true
		},
		get: func() string { return strconv.Itoa(*p) },
	}
}

var memorySize = regexp.MustCompile(`^([0-9]{1,9}) ?(MiB|GiB)?$`)

// memory is an amount of memory or disk, kept in MiB, from low MiB to 16 TiB.
func memory(p *int, low int) scalar {
	const high = 16 << 20
	return scalar{
		form: numberOrText("integer", float64(low), high, memorySize.String()),
		want: fmt.Sprintf("%dMiB to %dGiB, such as 256MiB or 1GiB (a bare number is MiB)", low, high>>10),
		set: func(n ast.Node) bool {
			m := memorySize.FindStringSubmatch(wordOf(n))
			if m == nil {
				return false
			}
			mib, err := strconv.Atoi(m[1])
			if m[2] == "GiB" {
				mib <<= 10
			}
			if err != nil || mib < low || mib > high {
				return false
			}
			*p = mib
			return true
		},
		get: func() string {
			if *p >= 1024 && *p%1024 == 0 {
				return strconv.Itoa(*p>>10) + "GiB"
			}
			return strconv.Itoa(*p) + "MiB"
		},
	}
}

// yesNo is true or false.
func yesNo(p *bool) scalar {
	return scalar{
		form: Schema{Type: "boolean"},
		want: "true or false",
		set: func(n ast.Node) bool {
			b, ok := n.(*ast.BoolNode)
			if ok {
				*p = b.Value
			}
			return ok
		},
		get: func() string { return strconv.FormatBool(*p) },
	}
}

// percent is a share of a VM's vCPUs, with or without "%".
func percent(p *float64) scalar {
	return scalar{
		form: numberOrText("number", 0, 100, `^[-+.0-9eE]+%?$`),
		want: "0 to 100 percent, such as 70 or 70%",
		set: func(n ast.Node) bool {
			f, err := strconv.ParseFloat(strings.TrimSuffix(wordOf(n), "%"), 64)
			if err == nil && f >= 0 && f <= 100 { // not NaN, which is in no range
				*p = f
				return true
			}
			return false
		},
		get: func() string { return strconv.FormatFloat(*p, 'f', -1, 64) },
	}
}

// duration is a time from low to high, with its unit.
func duration(p *time.Duration, low, high time.Duration) scalar {
	return scalar{
		form: numberOrText("integer", 0, 0, `^-?([0-9.]+(ns|us|µs|ms|s|m|h))+$|^0$`),
		want: fmt.Sprintf("a time from %s to %s with its unit, such as 500ms, 3s or 2m", short(low), short(high)),
		set: func(n ast.Node) bool {
			v, err := time.ParseDuration(wordOf(n))
			if err != nil || v < low || v > high {
				return false
			}
			*p = v
			return true
		},
		get: func() string { return short(*p) },
	}
}

// orWord is a scalar that has a word for one more value.
func orWord[T comparable](s scalar, word string, p *T, means T) scalar {
	return scalar{
		form: s.form.or(word),
		want: s.want + ", or " + word,
		set: func(n ast.Node) bool {
			if wordOf(n) == word {
				*p = means
				return true
			}
			return s.set(n)
		},
		get: func() string {
			if *p == means {
				return word
			}
			return s.get()
		},
	}
}

var password = regexp.MustCompile(`://\S*@`)
