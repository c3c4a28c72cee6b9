package staging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/fetch"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
	"github.com/vmscaler/vmscaler/bus"
)

// site is some hosts, each with a pool and a Stager of its own, which hear each other.
type site struct {
	t     *testing.T
	hosts []*host
}

// folder is a pool that is a folder. mu keeps lookers from half a file.
type folder struct {
	dir string
	mu  sync.Mutex
	no  error // why there is no room

	asked atomic.Pointer[template.Arrival] // for room
	full  error                            // why an import fails

	held    chan struct{} // imports wait until it is closed; nil: none does
	loses   bool          // what is imported is not there afterwards
	imports atomic.Int32
}

func (f *folder) Look(_ context.Context, names []string) (map[string]template.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	infos := map[string]template.Info{}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(f.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		digest, err := os.ReadFile(filepath.Join(f.dir, name+".sha256"))
		infos[name] = template.Info{Name: name, Complete: true, Size: uint64(len(content)), SHA256: string(digest)}
		if err != nil {
			return nil, err
		}
	}
	return infos, nil
}

func (f *folder) HasRoomFor(_ context.Context, a template.Arrival) error {
	f.asked.Store(&a)
	return f.no
}

func (f *folder) Open(_ context.Context, name string) (io.ReadSeekCloser, error) {
	return os.Open(filepath.Join(f.dir, name))
}

func (f *folder) Import(_ context.Context, name string, image template.Image, _ func(string)) error {
	f.imports.Add(1)
	if f.held != nil {
		<-f.held
	}
	if f.full != nil {
		return f.full
	}
	if f.loses {
		return nil
	}
	content, err := os.ReadFile(image.File)
	if err != nil {
		return err
	}
	return f.put(name, content)
}

func (f *folder) put(name string, content []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(
		os.WriteFile(filepath.Join(f.dir, name), content, 0o600),
		os.WriteFile(filepath.Join(f.dir, name+".sha256"), []byte(fingerprintOf(content)), 0o600),
	)
}

type host struct {
	*Stager
	s    *site
	name string
	pool *folder
	stop func()
	// ticker is the clock of what its transfers bring; nil: the real one.
	ticker fetch.Ticker
	// via is where the others are told that its templates are; "": where they are.
	via string
	// told is everything that it has told; it is the test's goroutine's.
	told []Step
}

// add starts another host, which has nothing.
func (s *site) add(name string, wanted ...Wanted) *host {
	s.t.Helper()
	h := s.host(name)
	s.start(h, wanted...)
	return h
}

// host is another host that is not started yet.
func (s *site) host(name string) *host {
	return &host{s: s, name: name, pool: &folder{dir: s.t.TempDir()}}
}

func (s *site) start(h *host, wanted ...Wanted) {
	s.t.Helper()
	var err error
	h.Stager, err = New(Config{
		Listen: "127.0.0.1:0", Dir: filepath.Join(s.t.TempDir(), "templates"), Pool: h.pool, Instance: h.name,
		lookEvery: 50 * time.Millisecond, firstHeard: 200 * time.Millisecond, ticker: h.ticker,
	}, zerolog.New(zerolog.NewTestWriter(s.t)))
	if err != nil {
		s.t.Fatal(err)
	}
	h.Want(h.name, wanted)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(h.stop)
	s.hosts = append(s.hosts, h)
}

// has puts a file into a host's pool.
func (h *host) has(name string, content []byte) (digest string) {
	h.s.t.Helper()
	if err := h.pool.put(name, content); err != nil {
		h.s.t.Fatal(err)
	}
	return fingerprintOf(content)
}

// health is what the host's actuator says.
func (h *host) health() bus.Health {
	serves := h.Serves()
	if h.via != "" {
		serves.Addresses = []string{h.via}
	}
	return bus.Health{Instance: h.name, Acts: &bus.Acts{HostID: bus.HostID(h.name), Templates: h.Templates(), Serves: serves}}
}

// until waits for something, with all hosts hearing each other.
func (s *site) until(what string, is func() bool) {
	s.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(3 * time.Minute); !is(); <-poll.C {
		for _, h := range s.hosts {
			for _, other := range s.hosts {
				other.Hear(h.health())
			}
			h.told = append(h.told, h.Told()...)
		}
		if time.Now().After(end) {
			for _, h := range s.hosts {
				s.t.Logf("%s: %+v told %+v", h.name, h.Templates(), h.told)
			}
			s.t.Fatalf("not within three minutes: %s", what)
		}
	}
}

// stands reports whether a host has a template like that.
func (h *host) stands(name string, state bus.TemplateState, reason bus.TemplateReason) bool {
	for _, t := range h.Templates() {
		if t.Name == name {
			return t.State == state && t.Reason == reason
		}
	}
	return false
}

// ready reports whether a host has templates.
func (h *host) ready(names ...string) bool {
	for _, name := range names {
		if !h.stands(name, bus.TemplateReady, "") {
			return false
		}
	}
	return true
}

// coming is how many templates come to a host, or wait for their turn.
func (h *host) coming() (n int) {
	for _, t := range h.Templates() {
		if t.State == bus.TemplateFetching {
			n++
		}
	}
	return n
}

// image is what begins as a qcow2 file does, other than that of another seed.
func image(seed, mib int) []byte {
	content := make([]byte, mib<<20)
	for i := range content {
		content[i] = byte((i + seed) * i >> 7)
	}
	copy(content, "QFI\xfb")
	return content
}

// A host that lacks templates has them from one that has them, byte for byte, and hands them on itself. Nothing is left of the
// way that they came.
func TestTemplatesComeToAHost(t *testing.T) {
	s := &site{t: t}
	wanted := []Wanted{{"web:3", ""}, {"db", ""}, {"more", ""}, {"nowhere", ""}}
	a := s.host("a")
	for i, name := range []string{"web:3", "db", "more"} {
		a.has(name, image(i, 4))
	}
	s.start(a, wanted...)
	s.until("a has them", func() bool {
		return a.ready("web:3", "db", "more")
	})
	b := s.host("b")
	b.pool.held = make(chan struct{})
	s.start(b, wanted...)
	s.until("as many have come as may at once", func() bool { return b.pool.imports.Load() >= atOnce && b.coming() == 3 })
	on := 0
	for _, t := range b.Templates() {
		if t.From != "" {
			on++
		}
	}
	if n := b.pool.imports.Load(); n != 2 || on != 2 {
		t.Errorf("%d are imported, and %d on their way", n, on)
	}
	close(b.pool.held)
	s.until("b has them", func() bool { return b.ready("web:3", "db", "more") })
	s.until("nobody has the other", func() bool { return b.stands("nowhere", bus.TemplateMissing, "") })
	for _, name := range []string{"web:3", "db", "more"} {
		one, two := read(t, a, name), read(t, b, name)
		if !bytes.Equal(one, two) {
			t.Errorf("%s: %d bytes became %d others", name, len(one), len(two))
		}
	}
	s.until("b has told of it", func() bool { return strings.Count(fmt.Sprintf("%+v", b.told), "is here: it came from a") == 3 })
	pooltest.AssertEmpty(t, b.cfg.Dir)
	a.stop()
	s.hosts = s.hosts[1:]
	c := s.add("c", Wanted{"db", ""})
	s.until("c has it from b", func() bool { return c.ready("db") })
}

func read(t *testing.T, h *host, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(h.pool.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// What was cut off is gone on from, by another host where the one has gone.
func TestATransferGoesOn(t *testing.T) {
	s := &site{t: t}
	file := image(0, 16)
	a, b := s.host("a"), s.host("b")
	a.has("web", file)
	s.start(a, Wanted{"web", ""})
	s.until("a offers it", func() bool { return a.ready("web") && a.Serves().Addresses != nil })
	way, _, early := cutting(t, a.Serves().Addresses[0], 6<<20)
	a.via = way
	c := s.add("c", Wanted{"web", ""})
	s.until("a part has come", func() bool { return early.Load() >= 6<<20 })
	b.has("web", file)
	s.start(b, Wanted{"web", ""})
	a.stop()
	s.hosts = s.hosts[1:]
	s.until("b offers it", func() bool { return b.ready("web") && b.Serves().Addresses != nil })
	rest, mended, late := cutting(t, b.Serves().Addresses[0], 0)
	mended.Store(true)
	b.via = rest
	s.until("c has it", func() bool { return c.ready("web") })
	if !bytes.Equal(read(t, b, "web"), read(t, c, "web")) {
		t.Error("it is another file")
	}
	if size := int64(len(read(t, c, "web"))); late.Load() > size-(4<<20) {
		t.Errorf("%d bytes came of the rest of %d", late.Load(), size)
	}
	pooltest.AssertEmpty(t, c.cfg.Dir)
}

// A file of another digest than was said is not used, and not had from there again; from another host it is.
func TestAnotherFileIsRefused(t *testing.T) {
	s := &site{t: t}
	a, b := s.host("a"), s.host("b")
	file := image(0, 4)
	a.has("web", file)
	s.start(a, Wanted{"web", ""})
	s.until("a offers it", func() bool { return a.ready("web") })
	path := filepath.Join(a.pool.dir, "web")
	content := read(t, a, "web")
	content[len(content)-1]++
	if err := os.WriteFile(path, content, 0o600); err != nil { // the size is as it was
		t.Fatal(err)
	}
	c := s.add("c", Wanted{"web", ""})
	s.until("it is refused", func() bool { return c.stands("web", bus.TemplateFailed, bus.TemplateBroken) })
	pooltest.AssertEmpty(t, c.pool.dir)
	pooltest.AssertEmpty(t, c.cfg.Dir)
	b.has("web", file)
	s.start(b, Wanted{"web", ""})
	s.until("it is had from the other", func() bool { return c.ready("web") })
	if !bytes.Equal(read(t, b, "web"), read(t, c, "web")) {
		t.Error("it is another file")
	}
}

// Without room nothing is fetched, and hosts that differ are not chosen from.
func TestWhatIsNotFetched(t *testing.T) {
	s := &site{t: t}
	a, b := s.host("a"), s.host("b")
	digest := a.has("web", image(0, 2))
	a.has("db", image(1, 2))
	b.has("web", image(2, 2))
	s.start(a, Wanted{"web", ""}, Wanted{"db", ""})
	s.start(b, Wanted{"web", ""})
	s.until("they are there", func() bool {
		return a.ready("web", "db") && b.ready("web")
	})
	full := s.host("full")
	full.pool.no = errors.New("no room, as pool_reserve is kept")
	s.start(full, Wanted{"db", ""}, Wanted{"web", ""})
	s.until("there is no room", func() bool {
		return full.stands("db", bus.TemplateFailed, bus.TemplateNoRoom) &&
			full.stands("web", bus.TemplateFailed, bus.TemplateDiffers)
	})
	pooltest.AssertEmpty(t, full.pool.dir)
	s.until("it has told why", func() bool {
		told := fmt.Sprintf("%+v", full.told)
		return strings.Contains(told, "no-room: no room, as pool_reserve") && strings.Contains(told, "differs: ") &&
			strings.Contains(told, "a has SHA-256 "+digest)
	})
	c := s.add("c", Wanted{"web", digest})
	s.until("it is the one that is named", func() bool { return c.ready("web") })
	if !bytes.Equal(read(t, a, "web"), read(t, c, "web")) {
		t.Error("it is another file")
	}
}

// Where the pool has no more room once the file is there, that is the reason, and the file does not stay in the way.
func TestNoRoomAtTheEnd(t *testing.T) {
	s := &site{t: t}
	a, b := s.host("a"), s.host("b")
	a.has("web", image(0, 2))
	s.start(a, Wanted{"web", ""})
	b.pool.full = fmt.Errorf("import: %w in the pool", template.ErrNoRoom)
	s.start(b, Wanted{"web", ""})
	s.until("it is said", func() bool { return b.stands("web", bus.TemplateFailed, bus.TemplateNoRoom) })
	pooltest.AssertEmpty(t, b.cfg.Dir)
	if got := *b.pool.asked.Load(); got != (template.Arrival{Bytes: 2 << 20, Dir: b.cfg.Dir}) {
		t.Errorf("room was asked for %+v", got)
	}
}

// What has come and is not there is a failure, so that it does not come again and again.
func TestWhatCameIsGone(t *testing.T) {
	s := &site{t: t}
	a, b := s.host("a"), s.host("b")
	a.has("web", image(0, 2))
	s.start(a, Wanted{"web", ""})
	b.pool.loses = true
	s.start(b, Wanted{"web", ""})
	s.until("it is said", func() bool { return b.stands("web", bus.TemplateFailed, bus.TemplateNotMade) })
	if n := b.pool.imports.Load(); n != 1 {
		t.Errorf("it came %d times", n)
	}
}
