package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

func TestLogPath(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/home/me/state")
	for want, got := range map[string]string{
		"/var/log/vmscaler/vmscaler.log":       logPath(config.Config{}, 0),
		"/home/me/state/vmscaler/vmscaler.log": logPath(config.Config{}, 1000),
		"/srv/d/vmscaler.log":                  logPath(config.Config{StateDir: "/srv/d"}, 0),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestLogFile: it is started again while it is written, keeps a few older ones, is opened again where it was moved away,
// and only its owner and a group may read it.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state", "vmscaler.log")
	file, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	write := func(text string) {
		t.Helper()
		if _, err := file.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	hangups := make(chan os.Signal, 1)
	hangups <- syscall.SIGHUP
	close(hangups)
	r := &reloader{
		read:    func() (config.Config, []config.Warning, error) { return config.Config{}, nil, errors.New("no") },
		service: service.Nobody(), log: zerolog.New(file),
	}
	r.hangups(t.Context(), hangups, file)
	write("second\n")
	data, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(string(data), "second\n") || !strings.Contains(string(data), "not reloaded") {
		t.Errorf("%q, %v", data, err)
	}
	for range oldLogs + 2 {
		write(strings.Repeat("x", longestLog-100) + "\n")
		write(strings.Repeat("y", 200) + "\n")
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > longestLog || info.Mode().Perm()&0o027 != 0 {
		t.Errorf("%v, %v", info, err)
	}
	if old, err := filepath.Glob(path + ".[0-9]"); err != nil || len(old) != oldLogs {
		t.Errorf("%q, %v, want %d older ones", old, err, oldLogs)
	}
}

func TestLogLinesHaveDates(t *testing.T) {
	var out bytes.Buffer
	log, err := (&globals{logLevel: "info"}).logger(&out, false)
	if err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("x")
	if date, _, _ := strings.Cut(out.String(), " "); len(date) != len("2006-01-02") {
		t.Errorf("%q", out.String())
	}
}

func TestDashboardLevel(t *testing.T) {
	for _, tt := range []struct {
		level zerolog.Level
		asked bool
		want  zerolog.Level
	}{
		{zerolog.InfoLevel, false, zerolog.WarnLevel},
		{zerolog.InfoLevel, true, zerolog.InfoLevel},
		{zerolog.ErrorLevel, false, zerolog.ErrorLevel},
		{zerolog.DebugLevel, true, zerolog.DebugLevel},
	} {
		if got := dashboardLevel(tt.level, tt.asked); got != tt.want {
			t.Errorf("%s, asked for %t: %s, want %s", tt.level, tt.asked, got, tt.want)
		}
	}
}

// TestHangup: it ends what has lost its terminal, and neither a service nor what nohup has started.
func TestHangup(t *testing.T) {
	for _, tt := range []struct{ ignored, terminal, ends bool }{
		{false, true, true},
		{true, true, false},
		{false, false, false},
		{true, false, false},
	} {
		if got := slices.Contains(endSignals(tt.ignored, tt.terminal), os.Signal(syscall.SIGHUP)); got != tt.ends {
			t.Errorf("%+v: %t", tt, got)
		}
	}
}
