package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// TestRenamedPool: the pool of VMs was undefined, and its folder has a pool of another name now. The VMs are scaled in and
// brought down like any others.
func TestRenamedPool(t *testing.T) {
	t.Parallel()
	w := newPrivateLibvirt(t).world()
	w.uploadTiny()
	t.Cleanup(func() { _ = os.Remove(filepath.Join(w.dir, template.VolumeName("tiny"))) })
	p := w.start(w.config(strings.Replace(tinyGroup, "min: 2", "min: 3", 1)))
	p.untilReady(3)
	p.stop()
	w.dropPool(w.pool)
	w.pool = "renamed-" + w.pool
	pool, err := w.conn.StoragePoolDefineXML(
		fmt.Sprintf(`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, w.pool, w.dir),
		0,
	)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Free() }()
	if err := pool.Create(0); err != nil {
		t.Fatal(err)
	}
	p = w.start(w.config(tinyGroup))
	p.untilReady(2)
	p.stop()
	for _, vm := range w.vms() {
		if vm.Meta.Pool == w.pool {
			t.Errorf("%s was made again", vm.Name)
		}
	}
	if n := len(w.files()); n != 7 { // the template, and three volumes for each
		t.Errorf("files %v", w.files())
	}
	w.must("down", w.group, "--yes", "--shutdown-timeout", "5s")
	if n := len(w.files()); n != 1 {
		t.Errorf("files %v after down, want the template alone", w.files())
	}
}
