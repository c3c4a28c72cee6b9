package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// Role is what a token lets its holder do.
type Role string

// The roles.
const (
	RoleWatch    Role = "watch"    // read everything
	RoleOperator Role = "operator" // and do what an operator of the bus may
)

// Roles are all roles.
func Roles() []Role { return []Role{RoleWatch, RoleOperator} }

// Token is what is kept of one. What its holder shows is not: only its hash.
type Token struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	SHA256  string    `json:"sha256"`
	Created time.Time `json:"created"`
}

// Tokens are the tokens of a folder, a file each. To revoke one, remove its file.
type Tokens struct{ Dir string }

// TokensDir is the folder of the tokens in a state folder.
func TokensDir(stateDir string) string { return filepath.Join(stateDir, "web-tokens") }

const (
	tokenPrefix  = "vmscaler" // by which those who look for secrets in texts can tell one
	longestToken = 4 << 10
)

var tokenName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// ErrTokenExists means that there is a token of that name.
var ErrTokenExists = errors.New("there is one of that name")

// CheckTokenName reports what is wrong with the name of a token.
func CheckTokenName(name string) error {
	if !tokenName.MatchString(name) {
		return fmt.Errorf("found %q, want 1 to 40 of a-z, 0-9 and -, neither beginning nor ending with -", name)
	}
	return nil
}

// Make makes a token and returns what its holder shows, which is not kept.
func (t Tokens) Make(name string, role Role, now time.Time) (string, error) {
	if err := CheckTokenName(name); err != nil {
		return "", fmt.Errorf("name of a token: %w", err)
	}
	if _, err := ownfile.MakeFolder(t.Dir, 0o700, os.Geteuid()); err != nil {
		return "", fmt.Errorf("tokens: %w", err)
	}
	secret := rand.Text()
	data, err := json.Marshal(Token{name, role, hashOf(secret), now.UTC().Truncate(time.Second)})
	if err != nil {
		return "", fmt.Errorf("token %s: %w", name, err)
	}
	f, err := ownfile.Open(t.file(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600, os.Geteuid())
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("token %s: %w: remove %s to revoke it", name, ErrTokenExists, t.file(name))
	}
	if err != nil {
		return "", fmt.Errorf("token %s: %w", name, err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("token %s: %w", name, err), os.Remove(t.file(name)))
	}
	return strings.Join([]string{tokenPrefix, name, secret}, "_"), nil
}

func (t Tokens) file(name string) string { return filepath.Join(t.Dir, name+".json") }

// Find is the token that somebody shows, if there is one.
func (t Tokens) Find(shown string) (Token, bool) {
	parts := strings.Split(shown, "_")
	if t.Dir == "" || len(parts) != 3 || parts[0] != tokenPrefix || CheckTokenName(parts[1]) != nil {
		return Token{}, false
	}
	token, err := t.read(parts[1])
	if err != nil || subtle.ConstantTimeCompare([]byte(token.SHA256), []byte(hashOf(parts[2]))) != 1 {
		return Token{}, false
	}
	return token, true
}

// Still reports whether a token that was found is still there.
func (t Tokens) Still(was Token) bool {
	now, err := t.read(was.Name)
	return err == nil && now == was
}

func (t Tokens) read(name string) (Token, error) {
	f, err := ownfile.Open(t.file(name), os.O_RDONLY, 0, os.Geteuid())
	if err != nil {
		return Token{}, err //nolint:wrapcheck // names the file
	}
	defer func() { _ = f.Close() }()
	var token Token
	if err := json.NewDecoder(io.LimitReader(f, longestToken)).Decode(&token); err != nil {
		return Token{}, fmt.Errorf("token %s: %w", name, err)
	}
	if token.Name != name || token.Role != RoleWatch && token.Role != RoleOperator {
		return Token{}, fmt.Errorf("token %s: found role %q of %q", name, token.Role, token.Name)
	}
	return token, nil
}

// hashOf is of a secret of 130 random bits, which no dictionary has.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
