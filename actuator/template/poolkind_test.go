package template

import (
	"strings"
	"testing"

	"libvirt.org/go/libvirt"
)

// A pool whose volumes are no files is refused before anything is fetched or written. libvirt's test driver has pools of any type
// without the devices of them.
func TestPoolOfNoFiles(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for kind, want := range map[string]string{
		"logical": `found the type "logical"`, "zfs": `found the type "zfs"`, "dir": "", "netfs": "",
	} {
		xml := "<pool type='" + kind + "'><name>" + kind + "</name><source><name>vg</name><host name='h'/><dir path='/d'/></source>" +
			"<target><path>/mnt/" + kind + "</path></target></pool>"
		p, err := conn.StoragePoolCreateXML(xml, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Free()
		to := Target{Pool: kind, Name: "web"}
		_, imported := Import(t.Context(), conn, to, Image{File: sampleImage(t)}, Report{})
		for what, err := range map[string]error{
			"look": CheckNew(conn, to), "import": imported, "upload": Upload(t.Context(), conn, to, sampleImage(t), nil),
		} {
			if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "libvirt.pool")) ||
				want == "" && err != nil && strings.Contains(err.Error(), "found the type") {
				t.Errorf("%s in a pool of type %s: %v, want %q", what, kind, err, want)
			}
		}
	}
}
