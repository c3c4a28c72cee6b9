package actuator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

func TestKeptTerm(t *testing.T) {
	now := t0.UnixMilli()
	hour := time.Hour.Milliseconds()
	for _, tt := range []struct {
		name    string
		kept    keptTerm
		cluster string
		term    int64
		refused string // what the reason has; "": it is not
		after   keptTerm
	}{
		{"the first", keptTerm{}, "a", now, "", keptTerm{1, "a", now}},
		{"the first, of a decider that names none", keptTerm{}, "", now, "", keptTerm{1, "", now}},
		{"the same term", keptTerm{1, "a", now}, "a", now, "", keptTerm{1, "a", now}},
		{"a later one", keptTerm{1, "a", now - 5}, "a", now, "", keptTerm{1, "a", now}},
		{"an earlier one", keptTerm{1, "a", now}, "a", now - 1, "is over", keptTerm{}},
		{"an earlier one of a decider that names none", keptTerm{1, "a", now}, "", now - 1, "is over", keptTerm{}},
		{"one that names none", keptTerm{1, "a", now - 5}, "", now, "", keptTerm{1, "a", now}},
		{"the first that names one", keptTerm{1, "", now - 5}, "a", now, "", keptTerm{1, "a", now}},
		{"another cluster", keptTerm{1, "a", now - 5}, "b", now, "of cluster b, and this host belongs to cluster a", keptTerm{}},
		{"of a clock a little ahead", keptTerm{1, "a", now}, "a", now + 60_000, "", keptTerm{1, "a", now + 60_000}},
		{"of a clock far ahead", keptTerm{1, "a", now - 5}, "a", now + hour, "", keptTerm{1, "a", now - 5}},
		{"of a right clock after that", keptTerm{1, "a", now - 5}, "a", now, "", keptTerm{1, "a", now}},
		{"what was kept by a clock that was ahead", keptTerm{1, "a", now + hour}, "a", now, "", keptTerm{1, "a", now}},
		{"the largest there is", keptTerm{1, "a", 1<<63 - 1}, "a", now, "", keptTerm{1, "a", now}},
	} {
		d := bus.Decision{ClusterID: tt.cluster, Term: tt.term}
		err := tt.kept.refusal(d, "/s/term.json", t0)
		if tt.refused == "" {
			if err != nil {
				t.Errorf("%s: refused: %s", tt.name, err)
			} else if got := tt.kept.after(d, t0); got != tt.after {
				t.Errorf("%s: kept is %+v, want %+v", tt.name, got, tt.after)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "remove /s/term.json here") {
			t.Errorf("%s: got %v, want %q and how to mend it", tt.name, err, tt.refused)
		}
	}
}

// termActuator is one with what its disk has, as after a restart.
func termActuator(t *testing.T, file string) *Actuator {
	t.Helper()
	a, err := New(Config{
		Groups: []bus.Group{webSpec()}, Now: func() time.Time { return t0 }, TermFile: file, Identify: here,
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") },
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	a.hostID, a.host = "here", "here"
	a.term.load()
	return a
}

func termDecision(cluster string, term int64, seq uint64) bus.Decision {
	return bus.Decision{
		V: bus.Version, Group: "web", Desired: 2, HasSample: true, Shares: map[bus.HostID]bus.Share{"here": {VMs: 2}}, ID: "d",
		ClusterID: cluster, Term: term, Seq: seq, Time: t0, ExpiresAt: t0.Add(5 * time.Second), SpecHash: webSpec().Hash(),
	}
}

// A decision of an older leader is refused after a restart of the actuator, and so is one of another cluster; health says which,
// and how a person mends it.
func TestTermOutlivesTheActuator(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "term.json")
	term := t0.UnixMilli()
	a := termActuator(t, file)
	if _, err := a.take(termDecision("a", term, 1)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		d    bus.Decision
		code bus.ProblemCode
	}{
		"an older leader": {termDecision("a", term-1, 2), bus.ProblemDecisionRefused},
		"another cluster": {termDecision("b", term+1, 2), bus.ProblemOtherCluster},
	} {
		a := termActuator(t, file)
		if _, err := a.take(tt.d); err == nil || a.groups["web"].newest.Taken() {
			t.Errorf("%s: taken after the restart", name)
		}
		var all bus.Troubles
		if !errors.As(a.problem(), &all) || len(all) != 1 || all[0].Code != tt.code || !strings.Contains(all[0].Text, file) {
			t.Errorf("%s: health has %v, want %s and the file", name, a.problem(), tt.code)
		}
		if _, err := a.take(termDecision("a", term, 3)); err != nil {
			t.Errorf("%s: afterwards the leader is refused: %s", name, err)
		}
	}
}

// A person who removes the file has the running actuator follow whoever decides.
func TestTermFileRemoved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "term.json")
	a := termActuator(t, file)
	if _, err := a.take(termDecision("a", t0.UnixMilli(), 1)); err != nil {
		t.Fatal(err)
	}
	other := termDecision("b", t0.UnixMilli()+1, 1)
	if _, err := a.take(other); err == nil {
		t.Fatal("another cluster is followed")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := a.take(other); err != nil {
		t.Errorf("after the file was removed: %s", err)
	}
	if kept, err := readKeptTerm(file); err != nil || kept.ClusterID != "b" {
		t.Errorf("kept is %+v, %v", kept, err)
	}
}

// A file that cannot be used refuses nobody, and has what was taken first afterwards.
func TestTermFileBroken(t *testing.T) {
	for name, content := range map[string]string{
		"empty":               "",
		"cut off":             `{"v":1,"clus`,
		"a later version":     `{"v":2,"term":9}`,
		"a term below 0":      `{"v":1,"term":-9}`,
		"no name of clusters": `{"v":1,"term":9,"cluster_id":"a\u0007"}`,
		"a number":            "7",
	} {
		file := filepath.Join(t.TempDir(), "term.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		a := termActuator(t, file)
		if _, err := a.take(termDecision("a", 5, 1)); err != nil {
			t.Errorf("%s: %s", name, err)
		}
		if kept, err := readKeptTerm(file); err != nil || kept != (keptTerm{1, "a", 5}) {
			t.Errorf("%s: kept is %+v, %v", name, kept, err)
		}
	}
}

// A link in the file's place is not followed, and an actuator that can keep nothing acts all the same.
func TestTermFileCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	victim, file := filepath.Join(dir, "victim"), filepath.Join(dir, "term.json")
	if err := os.Symlink(victim, ownfile.Unfinished(file)); err != nil {
		t.Fatal(err)
	}
	a := termActuator(t, file)
	if _, err := a.take(termDecision("a", 5, 1)); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(victim); err == nil {
		t.Error("it was written through a link")
	}
	if _, err := a.take(termDecision("a", 4, 2)); err == nil {
		t.Error("while the process lasts the term is not kept")
	}
}
