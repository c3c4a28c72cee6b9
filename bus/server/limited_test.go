package server_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// limited makes the credentials of a role for some groups.
func limited(t *testing.T, dir string, role bus.Role, groups ...string) string {
	t.Helper()
	file, made, err := server.MakeLimitedCredentials(dir, role, groups)
	if err != nil || !made {
		t.Fatalf("%s of %q: %v, made %t", role, groups, err, made)
	}
	if again, made, err := server.MakeLimitedCredentials(dir, role, groups); err != nil || made || again != file {
		t.Errorf("a second time: %s, %t, %v", again, made, err)
	}
	return file
}

// dirWithKeys is a state folder as it is after a bus's first start.
func dirWithKeys(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state [1]")
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	return dir
}

// What asks for another group, or for what is of no group, is refused by the server; a request is for the group of its subject,
// whatever its body says.
func TestLimitedToGroups(t *testing.T) {
	t.Parallel()
	dir := dirWithKeys(t)
	key := limited(t, dir, bus.RoleOperator, "web", "db", "web")
	if want := "operator@db+web.nk"; filepath.Base(key) != want {
		t.Errorf("it is in %s, want %s", key, want)
	}
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	requests := make(chan client.Request)
	decider := bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet)
	verbs := append(bus.GroupVerbs(), bus.VerbWake, bus.VerbHost)
	if err := decider.Serve(t.Context(), "decider", "", verbs, requests); err != nil {
		t.Fatal(err)
	}
	asked := make(chan bus.Query, 64)
	go func() {
		for {
			select {
			case r := <-requests:
				asked <- r.Query
				_ = r.Answer(bus.Controls{Paused: []bus.Scope{}, By: r.Verb})
			case <-t.Context().Done():
				return
			}
		}
	}()
	m := bustest.NewMember(t, s, key)
	allowed := []string{"vmscaler.wake.web", "vmscaler.metric.web.requests", "vmscaler.ctl.status", "vmscaler.ctl.explain"}
	refused := []string{
		"vmscaler.wake.batch", "vmscaler.wake.*", "vmscaler.metric.batch.requests", "vmscaler.ctl.order-host",
		"vmscaler.ctl.forget", "vmscaler.ctl.apply", "vmscaler.ctl.hook", "vmscaler.ctl.scale.web.x",
		"vmscaler.ctl.scale.>", "vmscaler.decision.web.out",
	}
	for _, verb := range bus.GroupVerbs() {
		allowed = append(allowed, bus.RequestSubject(verb, "web"), bus.RequestSubject(verb, "db"))
		refused = append(refused, bus.RequestSubject(verb, "batch"), bus.RequestSubject(verb, ""), "vmscaler.ctl."+verb+".webb")
	}
	for _, subject := range allowed {
		if m.Publish(subject) {
			t.Errorf("publish %s is refused", subject)
		}
	}
	for _, subject := range refused {
		if !m.Publish(subject) {
			t.Errorf("publish %s is allowed", subject)
		}
	}
	operator, err := client.DialNow(client.Remote{URL: s.URL(), Nkey: key}, string(bus.RoleOperator), bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operator.Close)
	for len(asked) > 0 {
		<-asked
	}
	c, err := client.Ask[bus.Controls](bustest.Limit(t), operator, bus.VerbPause, bus.Query{Group: "web"})
	if err != nil || c.By != bus.VerbPause {
		t.Errorf("its own group: %+v, %v", c, err)
	}
	<-asked
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var denied *client.DeniedError
	if _, err := client.Ask[bus.Controls](short, operator, bus.VerbPause, bus.Query{Group: "batch"}); !errors.As(err, &denied) {
		t.Errorf("another group: %v", err)
	}
	other := []byte(`{"group":"batch"}`)
	if _, err := operator.NATS().RequestWithContext(bustest.Limit(t), "vmscaler.ctl.pause.web", other); err != nil {
		t.Fatal(err)
	}
	if q := <-asked; q.Group != "web" || len(asked) > 0 {
		t.Errorf("a body that names another group is for %q", q.Group)
	}
}

// Each role that can be limited is, and no other.
func TestLimitedRoles(t *testing.T) {
	t.Parallel()
	dir := dirWithKeys(t)
	keys := map[bus.Role]string{}
	for _, role := range bus.Roles() {
		if role.Limitable() {
			keys[role] = limited(t, dir, role, "web")
			continue
		}
		if _, _, err := server.MakeLimitedCredentials(dir, role, []string{"web"}); err == nil {
			t.Errorf("%s is limited", role)
		}
	}
	if _, _, err := server.MakeLimitedCredentials(dir, bus.RoleOperator, []string{"web", "../x"}); err == nil {
		t.Error("a group that can be none is taken")
	}
	if _, _, err := server.MakeLimitedCredentials(dir, bus.RoleOperator, strings.Fields(strings.Repeat("a", 40)+" "+
		strings.Repeat("b", 40)+" "+strings.Repeat("c", 40)+" "+strings.Repeat("d", 40)+" "+strings.Repeat("e", 40)+" "+
		strings.Repeat("f", 40)+" "+strings.Repeat("g", 40))); err == nil || !strings.Contains(err.Error(), "name fewer groups") {
		t.Errorf("too many groups: %v", err)
	}
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	for role, subject := range map[bus.Role]string{
		bus.RoleOperator: "vmscaler.ctl.scale.", bus.RoleMonitor: "vmscaler.ctl.unhealthy.", bus.RoleWake: "vmscaler.wake.",
		bus.RoleMetric: "vmscaler.metric.",
	} {
		m := bustest.NewMember(t, s, keys[role])
		end := map[bool]string{true: ".requests"}[role == bus.RoleMetric]
		if m.Publish(subject+"web"+end) || !m.Publish(subject+"db"+end) {
			t.Errorf("%s: it may not what it may, or may what it may not", role)
		}
	}
}

// Credentials hold once their file is there, and no more once it is gone; a file that says what it must not gives nobody a right.
func TestLimitedWhileItRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	key := limited(t, dir, bus.RoleOperator, "web")
	in := func(file string) bool {
		nc, err := client.DialNow(client.Remote{URL: s.URL(), Nkey: file}, string(bus.RoleOperator), bustest.Quiet)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}
	bustest.Eventually(t, "it holds", func() bool { return in(key) })
	seed, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"decider@web.nk", "operator@.nk", "operator@web+We.nk"} {
		if err := os.WriteFile(filepath.Join(dir, "credentials", name), seed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(t.TempDir(), "kept.nk")
	if err := os.Rename(key, kept); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, "it holds no more", func() bool { return !in(kept) })
}
