package host

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"
)

// A URI that somebody names counts in the order flag, environment, file, libvirt's own variable.
func TestNamedPrecedence(t *testing.T) {
	all := map[string]string{"VMSCALER_URI": "test:///env", "LIBVIRT_DEFAULT_URI": "test:///libvirt"}
	for _, c := range []struct {
		flag, file string
		env        map[string]string
		want, why  string
	}{
		{"test:///flag", "test:///file", all, "test:///flag", "--uri"},
		{"", "test:///file", all, "test:///env", "VMSCALER_URI"},
		{"", "test:///file", map[string]string{"LIBVIRT_DEFAULT_URI": "test:///libvirt"}, "test:///file", "config file"},
		{"", "", map[string]string{"LIBVIRT_DEFAULT_URI": "test:///libvirt"}, "test:///libvirt", "LIBVIRT_DEFAULT_URI"},
		{"", "", nil, "", ""},
	} {
		s := Sources{Flag: c.flag, File: c.file, Getenv: func(name string) string { return c.env[name] }}
		got, ok := s.Named()
		if got.URI != c.want || ok != (c.want != "") || !strings.Contains(got.Why, c.why) {
			t.Errorf("%+v: got %s, %v; want %s, from %s", c, got, ok, c.want, c.why)
		}
	}
}

func TestIsSession(t *testing.T) {
	for uri, want := range map[string]bool{
		"qemu:///session": true, "qemu+unix:///session?socket=/x/system": true, "qemu:///system": false,
		"qemu+ssh://root@h/system": false, "qemu+unix:///system?socket=/x/session": false, "test:///default": false,
	} {
		if got := IsSession(uri); got != want {
			t.Errorf("%s: got %v", uri, got)
		}
	}
}

// What waiting mends is told apart from what it does not.
func TestDialErrors(t *testing.T) {
	d, err := NewDialer()
	if err != nil {
		t.Fatal(err)
	}
	absent := "qemu+unix:///system?socket=" + filepath.Join(t.TempDir(), "absent")
	if _, err := d.Dial(t.Context(), absent); !errors.Is(err, ErrDown) {
		t.Errorf("no socket: got %v, want ErrDown", err)
	}
	if _, err := d.Dial(t.Context(), "nonsense:///x"); err == nil || errors.Is(err, ErrDown) || errors.Is(err, ErrPermission) {
		t.Errorf("unknown scheme: got %v, want an error that is neither", err)
	}
	for text, want := range map[string]error{
		"Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied":         ErrPermission,
		"authentication unavailable: no polkit agent available to authenticate action":       ErrPermission,
		"Unable to get system bus connection: Could not connect: No such file or directory":  ErrPermission,
		"Failed to connect socket to '/run/libvirt/libvirt-sock': Connection refused":        ErrDown,
		"Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory": ErrDown,
		"Cannot recv data: Connection reset by peer":                                         ErrDown,
	} {
		err := explain("qemu:///system", libvirt.Error{Code: libvirt.ERR_SYSTEM_ERROR, Message: text})
		if !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}

	// Waiting ends with the context, and with an error that it does not mend.
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := d.Wait(ctx, absent, func(error) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: got %v, want it to end with its context", err)
	}
	if _, err := d.Wait(t.Context(), "nonsense:///x", func(error) { t.Error("waits for an unknown scheme") }); err == nil {
		t.Error("an unknown scheme is reached")
	}
	conn, err := d.Wait(t.Context(), "test:///default", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Close()
}
