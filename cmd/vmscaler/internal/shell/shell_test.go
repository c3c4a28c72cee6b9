package shell

import "testing"

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"": "''", "web": "web", "/etc/vmscaler.yaml": "/etc/vmscaler.yaml", "my file": "'my file'", "it's": `'it'\''s'`,
		"vmscaler.>": "'vmscaler.>'", "$HOME": "'$HOME'",
	} {
		if got := Quote(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}
