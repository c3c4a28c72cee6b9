package vm

import (
	"strings"
	"testing"
)

func TestAgentAnswers(t *testing.T) {
	var result struct {
		PID int `json:"pid"`
	}
	for _, tt := range []struct{ name, answer, err string }{
		{"good", `{"return":{"pid":7}}`, ""},
		{"too long", `{"return":{"pid":7,"x":"` + strings.Repeat("x", longestAnswer) + `"}}`, "want at most 1048576"},
		{"another kind", `{"return":"seven"}`, "guest-exec: json"},
		{"nested", `{"return":` + strings.Repeat("[", 100_000), "exceeded max depth"},
	} {
		err := decodeAnswer("guest-exec", tt.answer, &result)
		if tt.err == "" && (err != nil || result.PID != 7) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %.200v, %+v", tt.name, err, result)
		}
	}
	if err := decodeAnswer("guest-ping", strings.Repeat("x", longestAnswer+1), nil); err == nil {
		t.Error("an answer that nobody reads may have any length")
	}
}
