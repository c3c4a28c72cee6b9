package dashboard

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// answer is press while something is asked at the bottom line.
func (s session) answer(k key, c *Content, now time.Time) (session, action) {
	switch s.input.kind {
	case inputConfirm:
		change := s.input.change
		s.input = input{}
		if k != 'y' && k != 'Y' {
			s.note = note{toneDim, "nothing is changed"}
			return s, action{}
		}
		return s, action{change: &change}
	case inputNumber:
		return s.typeNumber(k, c), action{}
	case inputFilter:
		switch k {
		case keyEscape:
			s.filter, s.input = "", input{}
		case keyEnter:
			s.input = input{}
		default:
			s.input.text = edit(s.input.text, k)
			s.filter = s.input.text
		}
		if s.page == pageGroups {
			s = s.move(0, c, now)
		}
		return s, action{}
	case inputNone:
	}
	return s, action{}
}

// typeNumber is answer while the number of a group's VMs is typed.
func (s session) typeNumber(k key, c *Content) session {
	change := s.input.change
	switch {
	case k == keyEscape:
		s.input = input{}
		s.note = note{toneDim, "nothing is changed"}
	case k != keyEnter:
		if k < 0 || k >= '0' && k <= '9' && len(s.input.text) < 6 {
			s.input.text = edit(s.input.text, k)
		}
	case s.input.text != "":
		change.Desired, _ = strconv.Atoi(s.input.text) // digits alone, and few
		s.input = input{kind: inputConfirm, change: change}
		if least, most, known := bounds(c, change.Group); known && (change.Desired < least || change.Desired > most) {
			s.input = input{}
			s.note = note{toneWarn, fmt.Sprintf("number of VMs: found %d, want %d to %d, the min and max of group %s",
				change.Desired, least, most, change.Group)}
		}
	default:
		change.Kind = ChangeRelease
		s.input = input{kind: inputConfirm, change: change}
		g := c.Group(change.Group)
		if g == nil {
			s.input = input{}
			return s
		}
		if d, _ := g.Decision(); d.Controls.Desired == nil {
			s.input = input{}
			s.note = note{toneWarn, "group " + change.Group + " is not scaled by hand: nothing to release"}
		}
	}
	return s
}

// bounds are the min and max of a group that hold at this moment.
func bounds(c *Content, group string) (least, most int, known bool) {
	g := c.Group(group)
	if g == nil {
		return 0, 0, false
	}
	d, decided := g.Decision()
	return d.Inputs.Min, d.Inputs.Max, decided && d.Inputs.Max > 0
}

// edit is a text after a key.
func edit(text string, k key) string {
	switch {
	case k == keyClear:
		return ""
	case k == keyBackspace && text != "":
		_, n := utf8.DecodeLastRuneInString(text)
		return text[:len(text)-n]
	case k < 0, utf8.RuneCountInString(text) >= maxInput:
		return text
	}
	return text + string(rune(k))
}
