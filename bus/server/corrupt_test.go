package server_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// storeFiles are the files of JetStream that a power loss may leave in any state.
func storeFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "jetstream"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func fillHistory(t *testing.T, dir string) {
	t.Helper()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	c := bustest.Join(t, s, "stage")
	for i := range damagedEvents {
		e := bustest.Event()
		e.ElapsedMS = int64(i)
		bustest.PublishAll(t, c, e)
	}
	if err := c.Save(bustest.Limit(t), "control.web", &bus.Controls{Paused: []bus.Scope{bus.ScopeIn}}); err != nil {
		t.Fatal(err)
	}
	d := bustest.Demand()
	bustest.PublishAll(t, c, d)
	bustest.KeptRecords(t, c, damagedEvents)
	c.Close()
	s.Stop()
}

// A power loss may leave any file of the store cut off or full of zeros. The bus starts all the same, says so, and keeps what
// happens from then on.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	fillHistory(t, whole)
	damages := map[string]func([]byte) []byte{
		"empty":    func([]byte) []byte { return nil },
		"cut off":  func(data []byte) []byte { return data[:len(data)/2] },
		"of zeros": func(data []byte) []byte { return make([]byte, len(data)) },
	}
	for _, file := range storeFiles(t, whole) {
		name, err := filepath.Rel(whole, file)
		if err != nil {
			t.Fatal(err)
		}
		for how, damage := range damages {
			t.Run(name+" "+how, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(filepath.Join(dir, "jetstream"), os.DirFS(filepath.Join(whole, "jetstream"))); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, name)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, damage(data), 0o600); err != nil {
					t.Fatal(err)
				}
				startsDamaged(t, dir, len(data) > 0)
			})
		}
	}
}

// TestStoreThatCannotBe names the folder, and how to do without it.
func TestStoreThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := filepath.Join(dir, "jetstream")
	if err := os.WriteFile(store, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err == nil {
		s.Stop()
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), "the store in "+store+": ") || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%s", err)
	}
}

func startsDamaged(t *testing.T, dir string, damaged bool) {
	t.Helper()
	var log bustest.LogLines
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if damaged && len(log.With(`"level":"warn"`))+len(log.With(`"level":"error"`)) == 0 {
		t.Error("it says nothing of the damage")
	}
	c := bustest.Join(t, s, "stage")
	before := len(bustest.ReadAll(t, c, client.HistoryQuery{}))
	if before > damagedEvents {
		t.Errorf("the history has %d events, want %d at most", before, damagedEvents)
	}
	bustest.PublishAll(t, c, bustest.Event())
	bustest.Eventually(
		t,
		"a new event is kept",
		func() bool { return len(bustest.ReadAll(t, c, client.HistoryQuery{})) == before+1 },
	)
	var controls bus.Controls
	if err := c.Load(bustest.Limit(t), "control.web", &controls); err != nil && !errors.Is(err, client.ErrNotKept) {
		t.Errorf("what was kept: %v", err)
	}
	if err := c.Save(bustest.Limit(t), "control.web", &controls); err != nil {
		t.Errorf("nothing can be kept any more: %v", err)
	}
}

const damagedEvents = 20
