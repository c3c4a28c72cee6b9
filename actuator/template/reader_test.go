package template

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

// A template is read through libvirt as it is in its file, from any place on, and what is known of several is read at once.
func TestReadTemplate(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	info, err := Import(t.Context(), conn, Target{Pool: pool, Name: "web:3"}, Image{File: sampleImage(t)}, Report{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := LookupAll(conn, pool, []string{"web:3", "db"})
	if err != nil || len(all) != 1 || all["web:3"].SHA256 != info.SHA256 || info.SHA256 == "" {
		t.Errorf("%+v, %v", all, err)
	}
	want, err := os.ReadFile(info.Path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(conn, pool, "web:3")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if size, err := r.Seek(0, io.SeekEnd); err != nil || size != int64(len(want)) {
		t.Errorf("%d bytes, %v, want %d", size, err, len(want))
	}
	for _, from := range []int{0, 1 << 20, len(want) - 3, 77, len(want)} {
		if _, err := r.Seek(int64(from), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if from == 77 { // another place is read while a stream goes on
			if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
				t.Error(err)
			}
			from += 5
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want[from:]) {
			t.Errorf("from %d: %d bytes, %v, want %d", from, len(got), err, len(want)-from)
		}
	}
	if _, err := Open(conn, pool, "db"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of one that is not there: %v", err)
	}
	assertFiles(t, dir, RecordName("web:3"), VolumeName("web:3"))
}
