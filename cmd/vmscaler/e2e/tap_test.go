package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// natsCLI is the nats tool, with a home of its own.
type natsCLI struct {
	w   *world
	env []string
}

// newNatsCLI takes the one that the Makefile builds.
func newNatsCLI(w *world) natsCLI {
	w.t.Helper()
	found, _ := filepath.Glob("../../../.tools/nats-v*")
	if len(found) == 0 {
		w.t.Fatal("there is no .tools/nats-v*; first run: make nats-tool")
	}
	slices.Sort(found)
	tool, err := filepath.Abs(found[len(found)-1])
	if err != nil {
		w.t.Fatal(err)
	}
	home, bin := w.t.TempDir(), w.t.TempDir()
	if err := os.Symlink(tool, filepath.Join(bin, "nats")); err != nil {
		w.t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NATS_") })
	return natsCLI{w, append(env, "HOME="+home, "XDG_CONFIG_HOME="+home, "PATH="+bin+":"+os.Getenv("PATH"), "NO_COLOR=1")}
}

// command is a line as people type it.
func (n natsCLI) command(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Env = n.env
	return cmd
}

// says runs a line to its end, which must be a good one, and wants words in its output.
func (n natsCLI) says(line string, words ...string) string {
	n.w.t.Helper()
	out, err := n.command(line).CombinedOutput()
	if err != nil || !containsAll(string(out), words...) {
		n.w.t.Errorf("%s: %v, want %q in\n%s", line, err, words, out)
	}
	return string(out)
}

// refused runs a line to its end, which must be a bad one.
func (n natsCLI) refused(line string, words ...string) string {
	n.w.t.Helper()
	out, err := n.command(line).CombinedOutput()
	if err == nil || !containsAll(string(out), words...) {
		n.w.t.Errorf("%s: %v, want a failure and %q in\n%s", line, err, words, out)
	}
	return string(out)
}

// answer is the JSON of a reply.
func (n natsCLI) answer(line string, reply any) {
	n.w.t.Helper()
	out, err := n.command(line).Output()
	if err == nil {
		err = json.Unmarshal(out, reply)
	}
	if err != nil {
		n.w.t.Errorf("%s: %s\n%s", line, err, out)
	}
}

// received checks the messages that a `nats sub` has shown so far, and returns their subjects.
func received(t *testing.T, sub *process) []string {
	t.Helper()
	var subjects []string
	lines := strings.Split(sub.text(), "\n")
	for i, line := range lines {
		_, rest, ok := strings.Cut(line, `Received on "`)
		body, headers := []byte(nil), 0                 // those of an event, which the history confirms
		for i+1+headers < len(lines)-1 && body == nil { // the last line may not be whole yet
			if next := lines[i+1+headers]; strings.HasPrefix(next, "{") {
				body = []byte(next)
			}
			headers++
		}
		if !ok || body == nil {
			continue
		}
		subject, _, _ := strings.Cut(rest, `"`)
		var err error
		switch kind := strings.Split(subject, ".")[1]; kind {
		case "sample":
			_, err = bus.Decode[bus.Sample](body)
		case "decision":
			_, err = bus.Decode[bus.Decision](body)
		case "lifecycle":
			_, err = bus.Decode[bus.Event](body)
		case "health":
			_, err = bus.Decode[bus.Health](body)
		case "demand":
			_, err = bus.Decode[bus.Demand](body)
		default:
			t.Errorf("a message on %s", subject)
		}
		if err != nil {
			t.Errorf("%s: %s:\n%s", subject, err, body)
		}
		subjects = append(subjects, subject)
	}
	return subjects
}

// TestTap watches a running `vmscaler run` with the nats tool: without any set-up it shows all that the stages say
// and answers questions, and changes nothing; with the operator's credentials it reads the history as well.
func TestTap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nats := newNatsCLI(w)
	p := w.start(w.config("min: 1"))
	tool := "nats --server " + p.url + " "
	all := w.startProcess("nats sub", nats.command(tool+"sub 'vmscaler.>'"))
	decisions := w.startProcess("nats sub", nats.command(tool+"sub 'vmscaler.decision.>'"))
	failures := w.startProcess("nats sub", nats.command(tool+"sub 'vmscaler.lifecycle.*.*.failed'"))
	failures.says("Subscribing on")
	for _, subject := range []string{
		"sample." + w.group, "decision." + w.group, "health.bus.", "health.actuator.",
		"lifecycle." + w.group + "." + w.group + "-1.ready",
	} {
		all.says(`Received on "vmscaler.` + subject)
	}
	decisions.says(`Received on "vmscaler.decision.` + w.group + ".hold")

	nats.says(tool+"micro ls", "vmscaler", "autoscaler")
	nats.says(tool+"micro info vmscaler", "vmscaler.ctl.status", "vmscaler.ctl.explain", "decider")
	var status bus.Status
	nats.answer(tool+"req vmscaler.ctl.status '' --raw", &status)
	if len(status.Groups) != 1 || status.Groups[0].Group != w.group || len(status.Groups[0].Samples) != 1 ||
		len(status.Stages) != 4 {
		t.Errorf("status %+v, want the group with its sample, and four stages", status)
	}
	var explained bus.Decision
	nats.answer(tool+"req vmscaler.ctl.explain '' --raw", &explained)
	if explained.Group != w.group || explained.Desired != 1 || explained.Sentence == "" {
		t.Errorf("explain: %+v, want the group's newest decision", explained)
	}
	nats.says(tool+"micro stats vmscaler", "status", "explain")

	// What a tap must not do.
	forged := fmt.Sprintf(
		`{"v":1,"group":"%s","direction":"out","desired":5,"id":"forged","known":true,"term":%d,`+
			`"expires_at":"2100-01-01T00:00:00Z","spec_hash":"%s"}`,
		w.group,
		explained.Term+1,
		explained.SpecHash,
	)
	nats.refused(tool+"pub vmscaler.decision."+w.group+".out '"+forged+"'", "ermissions violation")
	nats.refused(tool+"pub vmscaler.decision.x.out '{}'", "ermissions violation")
	nats.refused(tool+"sub 'vmscaler.ctl.>'", "ermissions violation")
	nats.refused(tool+"stream ls --timeout 1s", "ermissions violation")
	seen := p.decision.Seq
	p.until("the group goes on as before", func() bool {
		if p.decision.ID == "forged" || p.decision.Desired > 1 || len(p.sample.VMs) > 1 {
			t.Fatalf("a tap's message had an effect: %+v, %+v", p.decision, p.sample.VMs)
		}
		return p.decision.Seq >= seen+3
	})

	// The operator may read the history, with the lines that the program prints.
	for line := range strings.Lines(w.must("bus", "credentials", "operator")) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "nats context save ") {
			nats.says(line, p.url)
		}
	}
	nats.says("nats --context vmscaler-operator stream info "+bus.HistoryStream, "vmscaler.lifecycle.>")
	nats.refused("nats --context vmscaler-operator --timeout 1s stream rm -f "+bus.HistoryStream, "ermissions violation")

	// A failure, as in TestTemplateVanishes.
	back := w.hideTemplate()
	if err := w.domain(w.group + "-1").Destroy(); err != nil {
		t.Fatal(err)
	}
	failures.says(`Received on "vmscaler.lifecycle.` + w.group + `.`)
	failures.says(`"error":`, "template")
	back()
	p.stop()
	for name, sub := range map[string]*process{"all": all, "decisions": decisions, "failures": failures} {
		sub.kill()
		subjects := received(t, sub)
		if len(subjects) == 0 {
			t.Errorf("sub of %s shows no message", name)
		}
		for _, s := range subjects {
			if name == "failures" && !strings.HasSuffix(s, ".failed") ||
				name == "decisions" && !strings.HasPrefix(s, "vmscaler.decision.") {
				t.Errorf("sub of %s shows a message on %s", name, s)
			}
		}
	}
}
