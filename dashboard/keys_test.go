package dashboard

import (
	"os"
	"slices"
	"testing"
)

func TestDecode(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []key
		rest string
	}{
		"characters":             {"aZ/?ü", []key{'a', 'Z', '/', '?', 'ü'}, ""},
		"arrows":                 {"\x1b[A\x1b[B\x1b[C\x1b[D", []key{keyUp, keyDown, keyRight, keyLeft}, ""},
		"application mode":       {"\x1bOA\x1bOF", []key{keyUp, keyEnd}, ""},
		"pages":                  {"\x1b[5~\x1b[6~\x02\x06", []key{keyPageUp, keyPageDown, keyPageUp, keyPageDown}, ""},
		"ends":                   {"\x1b[H\x1b[4~", []key{keyHome, keyEnd}, ""},
		"editing":                {"\x7f\x08\x15\r\n", []key{keyBackspace, keyBackspace, keyClear, keyEnter, keyEnter}, ""},
		"an unknown sequence":    {"\x1b[1;5Cx", []key{'x'}, ""},
		"Alt is not a key":       {"\x1bqx", []key{'x'}, ""},
		"control characters":     {"\x00\x07a", []key{'a'}, ""},
		"a cut sequence":         {"a\x1b[5", []key{'a'}, "\x1b[5"},
		"an escape may go on":    {"\x1b", nil, "\x1b"},
		"twice":                  {"\x1b\x1b[A", []key{keyEscape, keyUp}, ""},
		"a cut character":        {"a\xc3", []key{'a'}, "\xc3"},
		"not UTF-8":              {"\xff\xfea", []key{'a'}, ""},
		"a sequence without end": {"\x1b[111111111111111111", nil, ""},
	} {
		keys, rest := decode([]byte(tt.in))
		if !slices.Equal(keys, tt.want) || string(rest) != tt.rest {
			t.Errorf("%s: got %d and %q, want %d and %q", name, keys, rest, tt.want, tt.rest)
		}
	}
}

// An Esc that stays alone is a key.
func TestReadKeys(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	s, err := openScreen(tty, tty)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.restore() }()
	keys, stop, err := readKeys(tty)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if _, err := master.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("\x1b[Aj")
	for _, want := range []key{keyUp, 'j'} {
		if got := <-keys; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	write("\x1b")
	if got := <-keys; got != keyEscape {
		t.Errorf("got %d, want Esc", got)
	}
	stop()
	if none, stop, err := readKeys(os.Stdin); none != nil || err != nil {
		stop()
		t.Log("standard input is a terminal here")
	}
}
