package dashboard

import "fmt"

// minFooter is from which height on the bottom line has the keys.
const minFooter = 8

// maxNote is how many lines an answer may have.
const maxNote = 3

// bottom is the bottom line: what is asked, or was answered, or else the keys, where there is room for them.
func (v *view) bottom() []*line {
	s := v.c.session
	switch {
	case s.input.kind != inputNone:
		return []*line{v.question(s.input)}
	case s.note.text != "":
		lines := v.paragraph(nil, s.note.tone, s.note.text)
		return lines[:min(len(lines), maxNote)]
	case v.height < minFooter:
		return nil
	}
	return []*line{v.footer()}
}

// question is what is asked, with the keys that answer it.
func (v *view) question(in input) *line {
	l := v.line()
	switch in.kind {
	case inputFilter:
		l.add(toneStrong, " filter: "+in.text+"_").add(toneDim, "   Enter keeps it, Esc clears it")
	case inputNumber:
		l.add(toneStrong, " scale "+in.change.Group+" to: "+in.text+"_")
		if least, most, known := bounds(v.c, in.change.Group); known {
			l.add(toneDim, fmt.Sprintf("   %d to %d;", least, most))
		}
		l.add(toneDim, "   Enter goes on, Esc ends; nothing: leave it to its policy again")
	case inputConfirm:
		asks, after := in.change.question()
		l.add(toneWarnStrong, " "+asks+" y/n").add(toneDim, "   "+after)
	case inputNone:
	}
	return l
}

// footer is the keys, and what the program wants to say.
func (v *view) footer() *line {
	l := v.line()
	for _, k := range v.hints() {
		l.add(toneStrong, " "+k[0]).add(toneDim, " "+k[1]+"  ")
	}
	if v.c.ReadOnly != "" {
		l.add(toneWarn, " read-only  ")
	}
	if v.c.Footer != "" {
		l.add(toneDim, " "+v.c.Footer)
	}
	return l
}

// hints are keys with what they do, the most useful on this page.
func (v *view) hints() [][2]string {
	switch v.c.session.page {
	case pageGroups:
		if v.c.session.list {
			return [][2]string{{"q", "quit"}, {"?", "help"}, {"/", "filter"}, {"Enter", "open"}, {"Esc", "overview"}}
		}
	case pageEvents:
		return [][2]string{{"Esc", "back"}, {"?", "help"}, {"/", "filter"}, {"Enter", "open"}}
	case pageVM, pageDecision, pageHelp:
		return [][2]string{{"Esc", "back"}, {"q", "quit"}}
	}
	return [][2]string{{"q", "quit"}, {"?", "help"}}
}
