package template

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Clone is a disk that needs the file of a template: it has that file as its backing store.
type Clone struct {
	Path    string   // the disk's file; the template's own where a domain has that as a disk
	Pool    string   // with Volume, where it is a volume of an active pool; else ""
	Volume  string   // "": of no active pool
	Domains []string // the names of those that have the disk, now or at their next start; sorted
}

// Template is the clone's own name as a template; "" where it is none.
func (c Clone) Template() string {
	name, _ := templateName(c.Volume)
	return name
}

func (c Clone) String() string {
	what := "file " + c.Path
	switch {
	case c.Template() != "":
		what = "template " + c.Template()
	case c.Volume != "":
		what = fmt.Sprintf("volume %s of storage pool %q", c.Volume, c.Pool)
	}
	if len(c.Domains) > 0 {
		what = "domain " + strings.Join(c.Domains, ", ") + " by " + what
	}
	return what
}

// Usage is which files need which others, as far as libvirt knows: all volumes of active pools, and the disks of all domains with
// what is below them.
type Usage struct {
	links []link
	keys  map[string]string // of paths that were looked at
	// Unseen are the storage pools that are not active: what their volumes need is not known.
	Unseen []string
}

// A link is that upper needs lower, which is its backing store; or, with lower "", that a domain has upper as a disk.
type link struct {
	upper, lower string
	pool, volume string // of upper, where a pool says so
	domain       string // where a domain says so
}

// Clones are the disks that need the file at path, by their paths.
func (u Usage) Clones(path string) []Clone {
	return clonesOf(path, u.links, func(path string) string {
		key, known := u.keys[path]
		if !known {
			key = fileKey(path)
			u.keys[path] = key
		}
		return key
	})
}

// clonesOf is Usage.Clones; two paths with one key are one file.
func clonesOf(path string, links []link, key func(path string) string) []Clone {
	if path == "" {
		return nil
	}
	var clones []Clone
	at := map[string]int{} // in clones, by the key of the path
	for _, l := range links {
		needs := l.lower
		if needs == "" {
			needs = l.upper
		}
		if _, is := at[key(l.upper)]; !is && key(needs) == key(path) {
			at[key(l.upper)] = len(clones)
			clones = append(clones, Clone{Path: l.upper})
		}
	}
	for _, l := range links {
		i, is := at[key(l.upper)]
		if !is {
			continue
		}
		c := &clones[i]
		if l.volume != "" {
			c.Pool, c.Volume = l.pool, l.volume
		}
		if l.domain != "" && !slices.Contains(c.Domains, l.domain) {
			c.Domains = append(c.Domains, l.domain)
		}
	}
	for i := range clones {
		slices.Sort(clones[i].Domains)
	}
	slices.SortFunc(clones, func(a, b Clone) int { return cmp.Compare(a.Path, b.Path) })
	return clones
}

// fileKey is the same for all paths of a file of this machine; of one that is not here, for all spellings of its path.
func fileKey(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err == nil {
		return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return filepath.Clean(path)
}

// ReadUsage asks libvirt for all that is there. It changes nothing.
func ReadUsage(conn *libvirt.Connect) (Usage, error) {
	u := Usage{keys: map[string]string{}}
	if err := u.addPools(conn); err != nil {
		return u, err
	}
	return u, u.addDomains(conn)
}

func (u *Usage) addPools(conn *libvirt.Connect) error {
	pools, err := conn.ListAllStoragePools(0)
	if err != nil {
		return fmt.Errorf("list the storage pools: %w", err)
	}
	defer func() {
		for i := range pools {
			pools[i].Free()
		}
	}()
	for i := range pools {
		name, err := pools[i].GetName()
		if err != nil {
			continue // it is gone
		}
		if active, err := pools[i].IsActive(); err != nil || !active {
			u.Unseen = append(u.Unseen, name)
			continue
		}
		volumes, err := volumesByName(&pools[i])
		if err != nil {
			return fmt.Errorf("storage pool %q: %w", name, err)
		}
		for volume, v := range volumes {
			path, backing, err := backingStore(v)
			if err == nil && backing != "" { // one that cannot be described has no file
				u.links = append(u.links, link{upper: path, lower: backing, pool: name, volume: volume})
			}
		}
		freeAll(volumes)
	}
	return nil
}

func backingStore(v *libvirt.StorageVol) (path, backing string, err error) {
	text, err := v.GetXMLDesc(0)
	if err != nil {
		return "", "", err
	}
	var x libvirtxml.StorageVolume
	if err := x.Unmarshal(text); err != nil {
		return "", "", err
	}
	if x.Target != nil {
		path = x.Target.Path
	}
	if x.BackingStore != nil {
		backing = x.BackingStore.Path
	}
	return path, backing, nil
}

func (u *Usage) addDomains(conn *libvirt.Connect) error {
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return fmt.Errorf("list domains: %w", err)
	}
	defer func() {
		for i := range domains {
			domains[i].Free()
		}
	}()
	for i := range domains {
		for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
			text, err := domains[i].GetXMLDesc(flags)
			if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read a domain's disks: %w", err)
			}
			var d libvirtxml.Domain
			if err := d.Unmarshal(text); err != nil {
				return fmt.Errorf("read a domain's disks: %w", err)
			}
			u.links = append(u.links, domainLinks(d, func(pool, volume string) string { return volumePath(conn, pool, volume) })...)
		}
	}
	return nil
}

// domainLinks are the links that a definition shows: that of a running domain has the chain below each disk. Of one that is off
// the files themselves say what is below.
func domainLinks(d libvirtxml.Domain, volumePath func(pool, volume string) string) []link {
	if d.Devices == nil {
		return nil
	}
	path := func(s *libvirtxml.DomainDiskSource) string {
		switch {
		case s == nil:
		case s.File != nil:
			return s.File.File
		case s.Volume != nil:
			return volumePath(s.Volume.Pool, s.Volume.Volume)
		}
		return ""
	}
	var links []link
	for _, disk := range d.Devices.Disks {
		upper := path(disk.Source)
		if upper == "" {
			continue
		}
		links = append(links, link{upper: upper, domain: d.Name})
		if disk.Driver == nil || disk.Driver.Type != "raw" {
			links = append(links, below(upper, d.Name)...)
		}
		if mirror := disk.Mirror; mirror != nil && path(mirror.Source) != "" {
			links = append(links, link{upper: path(mirror.Source), domain: d.Name})
		}
		for b := disk.BackingStore; b != nil && path(b.Source) != ""; b = b.BackingStore {
			links = append(links, link{upper: upper, lower: path(b.Source), domain: d.Name})
			upper = path(b.Source)
		}
	}
	return links
}

// volumePath is where a volume is; "" where that is not known.
func volumePath(conn *libvirt.Connect, poolName, volume string) string {
	p, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return ""
	}
	defer p.Free()
	v, err := p.LookupStorageVolByName(volume)
	if err != nil {
		return ""
	}
	defer v.Free()
	path, err := v.GetPath()
	if err != nil {
		return ""
	}
	return path
}

// deepest is how many files below one another are followed.
const deepest = 32

// below follows the backing stores of a file by their headers, where this process may read them.
func below(file, domain string) []link {
	var links []link
	for range deepest {
		lower := backingName(file)
		if lower == "" {
			break
		}
		links = append(links, link{upper: file, lower: lower, domain: domain})
		file = lower
	}
	return links
}

// backingName is the file that the header of a qcow2 file names; "" where it names none, or cannot be read.
func backingName(file string) string {
	const longest = 1023 // bytes, by the format
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	if n < 20 || !strings.HasPrefix(string(head), qcow2Magic) {
		return ""
	}
	at, size := be64(head, 8), be32(head, 16)
	if at == 0 || size == 0 || size > longest || at > uint64(n) || at+size > uint64(n) {
		return ""
	}
	name := strings.TrimPrefix(string(head[at:at+size]), "file:")
	switch {
	case strings.HasPrefix(name, "json:"):
		return ""
	case !filepath.IsAbs(name):
		name = filepath.Join(filepath.Dir(file), name)
	}
	return name
}
