package model

import "cmp"

// CompareNames orders names as people do: web-2 before web-10.
func CompareNames(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if !digit(a[i]) || !digit(b[j]) {
			if a[i] != b[j] {
				return cmp.Compare(a[i], b[j])
			}
			i, j = i+1, j+1
			continue
		}
		x, y := number(a, i), number(b, j)
		if c := cmp.Or(cmp.Compare(len(x.digits), len(y.digits)), cmp.Compare(x.digits, y.digits)); c != 0 {
			return c
		}
		i, j = x.end, y.end
	}
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b))
}

type numeral struct {
	digits string // without leading zeros
	end    int
}

func number(s string, start int) numeral {
	end := start
	for end < len(s) && digit(s[end]) {
		end++
	}
	for start < end && s[start] == '0' {
		start++
	}
	return numeral{s[start:end], end}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
