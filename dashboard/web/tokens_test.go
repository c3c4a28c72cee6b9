package web

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus/bustest"
)

func TestTokens(t *testing.T) {
	tokens := Tokens{TokensDir(t.TempDir())}
	if _, found := tokens.Find("vmscaler_a_b"); found {
		t.Error("found one where none was made")
	}
	shown, err := tokens.Make("terraform", RoleOperator, bustest.Noon)
	if err != nil {
		t.Fatal(err)
	}
	token, found := tokens.Find(shown)
	if !found || token.Role != RoleOperator || token.Name != "terraform" || !tokens.Still(token) {
		t.Errorf("found %v: %+v", found, token)
	}
	info, err := os.Stat(tokens.file("terraform"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	secret := shown[strings.LastIndexByte(shown, '_')+1:]
	if data, err := os.ReadFile(tokens.file("terraform")); err != nil || strings.Contains(string(data), secret) {
		t.Errorf("the file has the secret: %s %v", data, err)
	}
	if _, err := tokens.Make("terraform", RoleWatch, bustest.Noon); !errors.Is(err, ErrTokenExists) {
		t.Error(err)
	}
	for _, name := range []string{"", "-a", "A", "../x", "a_b", "a/b", strings.Repeat("a", 41)} {
		if _, err := tokens.Make(name, RoleWatch, bustest.Noon); err == nil {
			t.Errorf("made one called %q", name)
		}
	}
	for _, wrong := range []string{
		"", secret, "vmscaler_terraform_", "vmscaler_terraform_" + secret + "A", "vmscaler_other_" + secret, "vmscaler_../x_" + secret,
		shown + "_", token.SHA256, "vmscaler_terraform_" + token.SHA256,
	} {
		if _, found := tokens.Find(wrong); found {
			t.Errorf("%q is one", wrong)
		}
	}
	if err := os.Chmod(tokens.file("terraform"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, found := tokens.Find(shown); found {
		t.Error("a file that others can write to counts")
	}
	if err := os.Remove(tokens.file("terraform")); err != nil || tokens.Still(token) {
		t.Error("it is still there", err)
	}
}
