package nearest

import "testing"

func TestName(t *testing.T) {
	names := []string{"upper", "lower", "boot_timeout", "list", "check", "VMSCALER_STATE_DIR", "min", "max"}
	for word, want := range map[string]string{
		"uper": "upper", "lwoer": "lower", "bootTimeout": "boot_timeout", "lst": "list", "chek": "check",
		"VMSCALER_STATEDIR": "VMSCALER_STATE_DIR",
		"mn":                "min", "UPPER": "upper", "nonsense": "", "": "", "q": "", "vcpus": "",
	} {
		if got := Name(word, names); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := Hint("uper", names); got != "; did you mean upper?" {
		t.Errorf("%q", got)
	}
	if got := Hint("x", nil); got != "" {
		t.Errorf("%q", got)
	}
}
