package template

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

func TestFirmwareUnfit(t *testing.T) {
	for _, tt := range []struct {
		firmware Firmware
		uefi     bool
		want     string
	}{
		{FirmwareUnknown, false, ""},
		{FirmwareUnknown, true, ""},
		{FirmwareBIOS, false, ""},
		{FirmwareBIOS, true, "boots by BIOS only"},
		{FirmwareUEFI, false, "boots by UEFI only"},
		{FirmwareUEFI, true, ""},
		{FirmwareBoth, false, ""},
		{FirmwareBoth, true, ""},
		{"coreboot", false, "unknown firmware"},
	} {
		if got := tt.firmware.Unfit(tt.uefi); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestCloudInitUnread(t *testing.T) {
	for c, want := range map[CloudInit]string{
		CloudInitUnknown: "", CloudInitPresent: "", CloudInitAbsent: "has no cloud-init", "maybe": "unknown cloud_init",
	} {
		if got := c.Unread(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q", c, got)
		}
	}
}

func TestParseRecord(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		`{"version":1,"size":5,"capacity":6,"sha256":"` + digest + `","firmware":"both","later":1}`: "",
		`{"version":2,"sha256":"` + digest + `"}`:                                                   "version 2, want 1",
		`{"version":1}`: "sha256",
		`{"version":1,"sha256":"` + digest + `","source_sha256":"x"}`:  "source_sha256",
		`{"version":1,"sha256":"` + digest + `","firmware":"openfir"}`: "firmware",
		`{"version":1,"sha256":"` + digest + `","cloud_init":"maybe"}`: "cloud_init",
		`[]`: "cannot unmarshal", ``: "unexpected end",
	} {
		if _, err := parseRecord([]byte(text)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	r := record{Size: 5, Capacity: 6, SHA256: digest, Firmware: FirmwareUEFI}
	for _, tt := range []struct {
		info Info
		want string
	}{{Info{Size: 5, Capacity: 6}, digest}, {Info{Size: 4, Capacity: 6}, ""}, {Info{Size: 5, Capacity: 7}, ""}} {
		if r.tell(&tt.info); tt.info.SHA256 != tt.want {
			t.Errorf("of a file of %d bytes and a disk of %d it tells %q, want %q", tt.info.Size, tt.info.Capacity, tt.info.SHA256,
				tt.want)
		}
	}
}

// What is known of an import is kept in the pool, and forgotten with another template under the name.
func TestRecordOfAnImport(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	image, to := sampleImage(t), Target{Pool: pool, Name: "web"}
	before := time.Now().Truncate(time.Second)
	info, err := Import(t.Context(), conn, to, Image{File: image, Source: "https://example.org/web.qcow2"}, Report{})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, VolumeName("web")))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if info.Source != "https://example.org/web.qcow2" || info.SourceFormat != "qcow2" || info.SHA256 != hex.EncodeToString(sum[:]) ||
		info.SourceSHA256 != info.SHA256 || info.Firmware != FirmwareBIOS || info.Size != uint64(len(content)) ||
		info.Imported.Before(before) || time.Since(info.Imported) > time.Hour {
		t.Errorf("the record tells %+v", info)
	}
	if infos, err := List(conn, pool); err != nil || len(infos) != 1 || infos[0].Broken != nil {
		t.Errorf("the record is taken for a template: %+v, %v", infos, err)
	}
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := deleteByName(p, VolumeName("web")); err != nil {
		t.Fatal(err)
	}
	if err := Upload(t.Context(), conn, to, image, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || info.Source != "" || info.Firmware != FirmwareUnknown ||
		!info.Imported.IsZero() {
		t.Errorf("the record of the one before is told of another: %+v, %v", info, err)
	}
	assertFiles(t, dir, VolumeName("web"))
}
