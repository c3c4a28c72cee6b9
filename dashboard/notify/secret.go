package notify

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

const maxSecret = 4096 // bytes

// readSecret reads the one line of a file that no other user may read or change. It is read again for each message, so that
// it can be exchanged. The error does not have what is in it.
func readSecret(path string) (string, error) {
	f, err := ownfile.Open(path, os.O_RDONLY, 0, os.Geteuid())
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o004 != 0 {
		return "", fmt.Errorf("secret: %s: everyone may read it (mode %#o); `chmod 600` it", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || len(data) > maxSecret || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("secret: %s: want one line of at most %d bytes", path, maxSecret)
	}
	return text, nil
}
