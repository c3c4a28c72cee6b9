package vm

import (
	"strings"
	"testing"
)

func TestRefuseForeignDisks(t *testing.T) {
	own := []string{"web-1.5c0d2a9e.qcow2", "web-1.5c0d2a9e.seed.iso"}
	for file, wanted := range map[string]string{
		"/disks/web-1.5c0d2a9e.qcow2":     "",
		"/disks/web-1.5c0d2a9e.seed.iso":  "",
		"/srv/data.qcow2":                 "",
		"/templates/sub/x.qcow2":          "",
		"/templates/template-demo.qcow2":  "found the disk /templates/template-demo.qcow2",
		"/templates/../templates/t.qcow2": "found the disk /templates/t.qcow2",
		"/disks/web-2.aaaaaaaa.qcow2":     "want none in a storage pool of vmscaler",
	} {
		definition := `<domain type="qemu"><name>web-1</name><devices><disk type="file"><source file="` + file +
			`"/><target dev="vdb"/></disk><disk type="block"><source dev="/dev/sdz"/><target dev="vdc"/></disk></devices></domain>`
		err := refuseForeignDisks(definition, own, "/templates", "/disks/")
		switch {
		case wanted == "" && err != nil:
			t.Errorf("%s: %v", file, err)
		case wanted != "" && (err == nil || !strings.Contains(err.Error(), wanted)):
			t.Errorf("%s: %v, want %q", file, err, wanted)
		}
	}
}
