package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/demo"
)

// Made once for all tests.
var (
	program      string // the vmscaler binary
	templateFile string // the demo template's disk
)

func TestMain(m *testing.M) {
	if os.Getenv(bareNATS) != "" {
		fmt.Fprintln(os.Stderr, serveNATS())
		os.Exit(1)
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %s\n", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "vmscaler-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // tests also run the program as another user
		return 1, err
	}
	if signal.Ignored(syscall.SIGHUP) { // as under nohup: the programs that the tests start would ignore it, too
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return 1, err
	}
	go func() {
		for {
			_ = libvirt.EventRunDefaultImpl()
		}
	}()
	program = filepath.Join(dir, "vmscaler")
	if out, err := exec.Command("go", "build", "-o", program, "..").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, out)
	}
	templateFile = filepath.Join(dir, "template.qcow2")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := demo.Build(ctx, demo.Config{Output: templateFile, CacheDir: packageCache()}); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// packageCache keeps the guest's packages from one run of the tests to the next.
func packageCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "" // then they are downloaded each time
	}
	return filepath.Join(dir, "vmscaler", "packages")
}
