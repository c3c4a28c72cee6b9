package bus

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// object reads an object with some of the keys, in their order. value reads the value of one.
func (r *reader) object(keys []string, value func(key string)) {
	if !r.take('{') || r.next('}') {
		return
	}
	for r.ok {
		key, plain := r.token()
		if !plain || !r.take(':') {
			break
		}
		for len(keys) > 0 && keys[0] != string(key) {
			keys = keys[1:]
		}
		if len(keys) == 0 {
			break
		}
		value(keys[0])
		keys = keys[1:]
		if r.next('}') {
			return
		}
		if !r.take(',') {
			break
		}
	}
	r.ok = false
}

// next takes a byte if it is there, take must find it.
func (r *reader) next(c byte) bool {
	if r.ok && r.at < len(r.data) && r.data[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) take(c byte) bool {
	r.ok = r.next(c)
	return r.ok
}

func (r *reader) literal(s string) bool {
	if r.ok && bytes.HasPrefix(r.data[r.at:], []byte(s)) {
		r.at += len(s)
		return true
	}
	return false
}

func (r *reader) null() bool { return r.literal("null") }

func (r *reader) yes() bool {
	r.ok = r.literal("true")
	return r.ok
}

// token reads a text; plain reports that it is what is between the quotes, else it is with the quotes.
func (r *reader) token() (text []byte, plain bool) {
	start, ascii := r.at+1, true
	if !r.take('"') {
		return nil, false
	}
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.at = i + 1
			text = r.data[start:i]
			return text, ascii || utf8.Valid(text)
		case c == '\\' || c < ' ':
			return r.escaped(start)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.ok = false
	return nil, false
}

// escaped is a text that is not plain, with its quotes.
func (r *reader) escaped(start int) ([]byte, bool) {
	for i := start; i < len(r.data); i++ {
		switch r.data[i] {
		case '\\':
			i++
		case '"':
			r.at = i + 1
			return r.data[start-1 : r.at], false
		}
	}
	r.ok = false
	return nil, false
}

// text is a text of a VM.
func (r *reader) text() string {
	token, plain := r.token()
	if !plain {
		return r.decoded(token)
	}
	if r.texts.Cap()-r.texts.Len() < len(token) {
		const usual = 80 // the name, the UUID and the address of a VM
		r.texts = strings.Builder{}
		r.texts.Grow(max(len(token), usual*min(r.vms, 1000)))
	}
	from := r.texts.Len()
	r.texts.Write(token)
	return r.texts.String()[from:]
}

// word is a text that often is the same as another one.
func (r *reader) word(likely string) string {
	token, plain := r.token()
	switch {
	case !plain:
		return r.decoded(token)
	case string(token) == likely:
		return likely
	}
	return string(token)
}

// decoded is a text with escapes, or with what is no UTF-8.
func (r *reader) decoded(token []byte) (s string) {
	if r.ok && len(token) > 0 && token[0] == '"' {
		r.ok = json.Unmarshal(token, &s) == nil
		return s
	}
	r.ok = false
	return ""
}

// other reads an object that few VMs have.
func (r *reader) other(to any) {
	start := r.at
	for depth := 0; r.ok && r.at < len(r.data); {
		switch r.data[r.at] {
		case '"':
			r.token()
			continue
		case '{':
			depth++
		case '}':
			depth--
		}
		r.at++
		if depth <= 0 {
			raw := r.data[start:r.at]
			r.ok = len(raw) > 1 && CheckShape(raw) == nil && json.Unmarshal(raw, to) == nil
			return
		}
	}
	r.ok = false
}

func (r *reader) time() (t time.Time) {
	start := r.at
	if _, plain := r.token(); plain {
		r.ok = t.UnmarshalJSON(r.data[start:r.at]) == nil
		return t
	}
	r.ok = false
	return t
}

func (r *reader) known() *float64 {
	if r.null() {
		return nil
	}
	return r.floats.keep(r.float(), 2*r.vms)
}

func (r *reader) knownInt() *int {
	if r.null() {
		return nil
	}
	return r.ints.keep(r.int(), r.vms)
}

// number reads a number as JSON has it; whole reports that it has neither a fraction nor an exponent.
func (r *reader) number() (text []byte, whole bool) {
	start := r.at
	r.next('-')
	first := r.at
	digits := r.digits()
	if digits == 0 || digits > 1 && r.data[first] == '0' {
		r.ok = false
	}
	whole = true
	if r.next('.') {
		whole = false
		r.ok = r.ok && r.digits() > 0
	}
	if r.next('e') || r.next('E') {
		whole = false
		if !r.next('+') {
			r.next('-')
		}
		r.ok = r.ok && r.digits() > 0
	}
	return r.data[start:r.at], whole
}

func (r *reader) digits() (n int) {
	for r.ok && r.at < len(r.data) && r.data[r.at] >= '0' && r.data[r.at] <= '9' {
		r.at++
		n++
	}
	return n
}

func (r *reader) int() int {
	text, whole := r.number()
	n, err := strconv.Atoi(string(text))
	r.ok = r.ok && whole && err == nil
	return n
}

func (r *reader) float() float64 {
	text, _ := r.number()
	f, err := strconv.ParseFloat(string(text), 64)
	r.ok = r.ok && err == nil
	return f
}
