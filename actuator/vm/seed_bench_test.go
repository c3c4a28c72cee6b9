package vm

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/bus"
)

// BenchmarkSeed compares, side by side in each round, what the volumes of a VM take to make with a seed and without one. Deleting
// them is not counted.
func BenchmarkSeed(b *testing.B) {
	conn, pool, template := benchPool(b)
	c := bus.CloudInit{
		SSHKeys:  []bus.Text{{Text: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPqXr0Jm2wq0gqhZJ7o0Fh4bJ6qv1cYjv1Cj7yFqk0a ann"}},
		UserData: bus.Text{Text: "#cloud-config\nhostname: {{.Name}}\n" + strings.Repeat("# as long as such texts are\n", 200)},
	}
	makeOne := func(seeded bool) time.Duration {
		uuid := NewUUID()
		volume := bus.VolumeName("bench-1", uuid)
		start := time.Now()
		clone, err := CreateVolume(pool, volume, template, 1<<30)
		if err != nil {
			b.Fatal(err)
		}
		made := []*libvirt.StorageVol{clone}
		if seeded {
			image, err := seed.Image(c, seed.Values{Name: "bench-1", Group: "bench", Index: 1, Host: "here", Template: "demo", UUID: uuid})
			if err != nil {
				b.Fatal(err)
			}
			vol, err := createSeedVolume(pool, bus.SeedName(volume), len(image))
			if err != nil {
				b.Fatal(err)
			}
			if err := upload(conn, vol, image); err != nil {
				b.Fatal(err)
			}
			made = append(made, vol)
		}
		took := time.Since(start)
		for _, vol := range made {
			if err := vol.Delete(0); err != nil {
				b.Fatal(err)
			}
			_ = vol.Free()
		}
		return took
	}
	makeOne(true) // the first of anything is slower
	var without, with []time.Duration
	for b.Loop() {
		without = append(without, makeOne(false))
		with = append(with, makeOne(true))
	}
	middle := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64((all[(len(all)-1)/2]+all[len(all)/2])/2) / 1e6
	}
	b.ReportMetric(0, "ns/op") // a round is no unit of interest
	b.ReportMetric(middle(without), "clone-ms")
	b.ReportMetric(middle(with), "clone+seed-ms")
	b.ReportMetric(middle(with)-middle(without), "seed-ms")
}

// benchPool is a storage pool of the benchmark's own with an empty template, whose path it returns.
func benchPool(b *testing.B) (*libvirt.Connect, *libvirt.StoragePool, string) {
	b.Helper()
	conn, err := libvirt.NewConnect(cmp.Or(os.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"))
	if err != nil {
		b.Fatalf("no libvirt: %s", err)
	}
	b.Cleanup(func() { _, _ = conn.Close() })
	dir, err := os.MkdirTemp("/var/tmp", "vmscaler-bench-") // not below the user's home, which libvirt's user may not enter
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	template := filepath.Join(dir, "template-demo.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", template, "1G").CombinedOutput(); err != nil {
		b.Fatalf("qemu-img: %s\n%s", err, out)
	}
	pool, err := conn.StoragePoolCreateXML(fmt.Sprintf(
		`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, filepath.Base(dir), dir), 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := pool.Destroy(); err != nil {
			b.Errorf("drop the pool: %s", err)
		}
		_ = pool.Free()
	})
	return conn, pool, template
}
