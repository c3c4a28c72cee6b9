package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template/checksum"
)

// image is the content that the servers of the tests publish.
var image = bytes.Repeat([]byte("an image, or so\n"), 600_000)

func digestsOfImage() checksum.Digests {
	short, long := sha256.Sum256(image), sha512.Sum512(image)
	return checksum.Digests{SHA256: hex.EncodeToString(short[:]), SHA512: hex.EncodeToString(long[:])}
}

// server answers with image, as Go's own file server does, but for what before does. It tells the ranges that were asked for.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string
	before func(w http.ResponseWriter, r *http.Request, nth int) (done bool)
	etag   string
}

func newServer(t *testing.T, before func(w http.ResponseWriter, r *http.Request, nth int) bool) *server {
	s := &server{before: before, etag: `"v1"`}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
		nth, etag := len(s.asked), s.etag
		s.mu.Unlock()
		if s.before != nil && s.before(w, r, nth) {
			return
		}
		if w.Header().Get("ETag") == "" {
			w.Header().Set("ETag", etag)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// cut announces all of the image and sends a part of it.
func cut(w http.ResponseWriter, bytes int) {
	w.Header().Set("ETag", `"v1"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(image)))
	_, _ = w.Write(image[:bytes])
	panic(http.ErrAbortHandler)
}

// newFetcher waits for nothing, and tells how often it would have.
func newFetcher(t *testing.T, dir string) (f *Fetcher, waits *[]time.Duration) {
	t.Helper()
	f, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	waits = new([]time.Duration)
	f.pause = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	return f, waits
}

func assertFiles(t *testing.T, dir string, suffixes ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		_, name, _ := strings.Cut(e.Name(), "-")
		got = append(got, name)
	}
	if !slices.Equal(got, suffixes) {
		t.Errorf("the cache has %q, want %q", got, suffixes)
	}
}

func assertImage(t *testing.T, file File) {
	t.Helper()
	content, err := os.ReadFile(file.Path)
	if err != nil || !bytes.Equal(content, image) {
		t.Errorf("%s has %d bytes, %v; want the image of %d", file.Path, len(content), err, len(image))
	}
	if file.Digests != digestsOfImage() {
		t.Errorf("digests %+v", file.Digests)
	}
}

func cacheDir(t *testing.T) string { return filepath.Join(t.TempDir(), "cache", "images") }

// A file that is in the cache and has not changed is not fetched again.
func TestFile(t *testing.T) {
	s := newServer(t, nil)
	dir := cacheDir(t)
	f, _ := newFetcher(t, dir)
	var last, total int64
	f.cfg.Progress = func(d, n int64) { last, total = d, n }
	file, err := f.File(t.Context(), s.URL+"/a/web.qcow2?key=secret#part", checksum.Digests{})
	if err != nil {
		t.Fatal(err)
	}
	assertImage(t, file)
	if file.Cached || file.URL != s.URL+"/a/web.qcow2?..." || last != total || total != int64(len(image)) {
		t.Errorf("%+v, %d of %d", file, last, total)
	}
	assertFiles(t, dir, "web.qcow2", "web.qcow2.origin")
	for _, want := range []checksum.Digests{{}, digestsOfImage()} {
		var said []string
		f.cfg.Say = func(what string) { said = append(said, what) }
		again, err := f.File(t.Context(), s.URL+"/a/web.qcow2?key=secret", want)
		if err != nil || !again.Cached || again.Digests != file.Digests {
			t.Errorf("again: %+v, %v", again, err)
		}
		if asks := len(said) > 0 && strings.HasPrefix(said[0], "asking whether "); asks == want.Any() || len(said) > 1 {
			t.Errorf("with digest %t it said %q, want that a server is asked where it is", want.Any(), said)
		}
	}
	if got := len(s.requests()); got != 2 {
		t.Errorf("%d requests, want one for the file and one whether it has changed", got)
	}
	image2 := image
	image = append(bytes.Clone(image), "a new version"...)
	defer func() { image = image2 }()
	s.mu.Lock()
	s.etag = `"v2"`
	s.mu.Unlock()
	file, err = f.File(t.Context(), s.URL+"/a/web.qcow2?key=secret", checksum.Digests{})
	if err != nil || file.Cached {
		t.Errorf("a new version: %+v, %v", file, err)
	}
	assertImage(t, file)
	assertFiles(t, dir, "web.qcow2", "web.qcow2.origin")
}

// A redirect is followed, and the file is known by the address that was asked for.
func TestRedirected(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.URL.Path == "/web.qcow2" {
			http.Redirect(w, r, "/mirror/other.qcow2", http.StatusFound)
		}
		return r.URL.Path == "/web.qcow2"
	})
	dir := cacheDir(t)
	f, _ := newFetcher(t, dir)
	file, err := f.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{})
	if err != nil {
		t.Fatal(err)
	}
	assertImage(t, file)
	if file.URL != s.URL+"/web.qcow2" {
		t.Errorf("it is of %s", file.URL)
	}
	assertFiles(t, dir, "web.qcow2", "web.qcow2.origin")
}

// What is cut off goes on where it ended, by this process or another one.
func TestResume(t *testing.T) {
	const first = 2 << 20
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, nth int) bool {
		if nth == 1 {
			cut(w, first)
		}
		return false
	})
	dir := cacheDir(t)
	f, waits := newFetcher(t, dir)
	file, err := f.File(t.Context(), s.URL+"/web.qcow2", digestsOfImage())
	if err != nil {
		t.Fatal(err)
	}
	assertImage(t, file)
	asked := s.requests()
	if len(asked) != 2 || asked[0] != "" || !strings.HasPrefix(asked[1], "bytes=") || !strings.HasSuffix(asked[1], `- "v1"`) ||
		strings.HasPrefix(asked[1], "bytes=0-") || len(*waits) != 1 {
		t.Errorf("asked for %q, waits %v", asked, *waits)
	}

	// Given up, and called again.
	ctx, cancel := context.WithCancel(t.Context())
	var said []string
	f.cfg.Say = func(what string) { said = append(said, what) }
	f.cfg.Progress = func(done, _ int64) {
		if done > first {
			cancel()
		}
	}
	s2 := newServer(t, nil)
	_, err = f.File(ctx, s2.URL+"/web.qcow2", checksum.Digests{})
	if !errors.Is(err, context.Canceled) || len(said) != 2 || !strings.HasPrefix(said[0], "fetching ") ||
		!strings.Contains(said[1], "MiB that are there are kept in "+dir) {
		t.Fatalf("given up: %v, said %q", err, said)
	}
	f, _ = newFetcher(t, dir)
	var from int64
	f.cfg.Progress = func(done, _ int64) {
		if from == 0 {
			from = done
		}
	}
	if file, err = f.File(t.Context(), s2.URL+"/web.qcow2", checksum.Digests{}); err != nil {
		t.Fatal(err)
	}
	assertImage(t, file)
	if asked := s2.requests(); len(asked) != 2 || !strings.HasPrefix(asked[1], "bytes=") || from <= first {
		t.Errorf("asked for %q, the first progress is %d", asked, from)
	}
}

// scarce sends so many bytes, and then cuts the connection.
type scarce struct {
	http.ResponseWriter
	left int
}

func (w *scarce) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(p)
}

// However often a line fails, what brings the file further is no failure in a row.
func TestResumeOften(t *testing.T) {
	s := newServer(t, nil)
	s.Config.Handler = func(all http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { all.ServeHTTP(&scarce{w, 3 << 19}, r) })
	}(s.Config.Handler)
	f, waits := newFetcher(t, cacheDir(t))
	file, err := f.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{})
	if err != nil {
		t.Fatal(err)
	}
	assertImage(t, file)
	if asked := s.requests(); len(asked) <= maxTries || slices.Max(*waits) != firstWait {
		t.Errorf("asked for %q, waits %v", asked, *waits)
	}
}

// Where a server has no ranges, or another file now, the file is fetched from its start.
func TestResumeThatCannotBe(t *testing.T) {
	ended := false
	for name, second := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"no ranges": func(w http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("Range")
			return false
		},
		"a range of another place": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(image)-1, len(image)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(image[5:])
			return true
		},
		"a range of another size": func(w http.ResponseWriter, r *http.Request) bool {
			var from int
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil {
				return false
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(image)+9, len(image)+10))
			w.WriteHeader(http.StatusPartialContent)
			return true
		},
		"not satisfiable": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		},
		"another version": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"v2"`)
			return false
		},
		"a rest that ends early": func(w http.ResponseWriter, r *http.Request) bool {
			var from int
			if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err != nil || ended {
				return false
			}
			ended = true
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(image)-1, len(image)))
			w.WriteHeader(http.StatusPartialContent)
			w.(http.Flusher).Flush() // so that it tells no length
			_, _ = w.Write(image[from : from+10])
			return true
		},
	} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request, nth int) bool {
			if nth == 1 {
				cut(w, 2<<20)
			}
			return second(w, r)
		})
		dir := cacheDir(t)
		f, _ := newFetcher(t, dir)
		var said []string
		f.cfg.Say = func(what string) { said = append(said, what) }
		file, err := f.File(t.Context(), s.URL+"/web.qcow2", digestsOfImage())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		anewSaid := strings.Contains(strings.Join(said, "\n"), "fetched from its start")
		if anewSaid == (name == "a rest that ends early") {
			t.Errorf("%s: said %q", name, said)
		}
		assertImage(t, file)
		assertFiles(t, dir, "web.qcow2", "web.qcow2.origin")
	}
}

// Each failure says what was found and what is wanted, and leaves nothing but what can be resumed.
func TestFileFails(t *testing.T) {
	status := func(code int) func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(code)
			return true
		}
	}
	resumable := []string{"web.qcow2.part", "web.qcow2.part.origin"}
	for name, tt := range map[string]struct {
		before   func(w http.ResponseWriter, r *http.Request, nth int) bool
		want     checksum.Digests
		free     int64
		errors   []string
		requests int
		left     []string
	}{
		"not found": {before: status(404), errors: []string{"found", "404 Not Found, want 200"}, requests: 1},
		"forbidden": {before: status(403), errors: []string{"403 Forbidden"}, requests: 1},
		"always failing": {
			before: status(500), errors: []string{"500 Internal Server Error", "the last of 5 tries"}, requests: maxTries,
		},
		"another digest": {
			want:     checksum.Digests{SHA256: strings.Repeat("0a", 32)},
			errors:   []string{"found SHA-256 " + digestsOfImage().SHA256 + ", want 0a0a", "deleted"},
			requests: 1,
		},
		"another long digest": {
			want:     checksum.Digests{SHA512: strings.Repeat("0a", 64)},
			errors:   []string{"found SHA-512 " + digestsOfImage().SHA512 + ", want 0a0a"},
			requests: 1,
		},
		"always cut off": {
			before:   func(w http.ResponseWriter, _ *http.Request, _ int) bool { cut(w, 70_000); return true },
			errors:   []string{"unexpected EOF", "the last of 5 tries"},
			requests: maxTries,
			left:     resumable,
		},
		"a length that is a lie": {
			before: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
				w.Header().Set("Content-Length", "9000000000000000000")
				w.WriteHeader(http.StatusOK)
				return true
			},
			free: 10 << 30, errors: []string{"no room in", "10240 MiB are free, of which 256 MiB are kept", "--cache"}, requests: 1,
		},
		"no end": {
			before: func(w http.ResponseWriter, r *http.Request, _ int) bool {
				for r.Context().Err() == nil {
					_, _ = w.Write(image)
				}
				return true
			},
			free: 300 << 20, errors: []string{"no room in"}, requests: 1, left: resumable,
		},
		"nothing": {
			before: func(w http.ResponseWriter, _ *http.Request, _ int) bool { w.WriteHeader(http.StatusOK); return true },
			errors: []string{"an empty file"}, requests: 1,
		},
		"redirects in a circle": {
			before: func(w http.ResponseWriter, r *http.Request, _ int) bool {
				http.Redirect(w, r, r.URL.String()+"x", http.StatusFound)
				return true
			},
			errors: []string{"found over 10 redirects"}, requests: maxRedirects + 1,
		},
		"a redirect to a file": {
			before: func(w http.ResponseWriter, r *http.Request, _ int) bool {
				w.Header().Set("Location", "file:///etc/passwd")
				w.WriteHeader(http.StatusFound)
				return true
			},
			errors: []string{`a redirect to the scheme "file", want https or http`}, requests: 1,
		},
		"a redirect to plain http elsewhere": {
			before: func(w http.ResponseWriter, r *http.Request, _ int) bool {
				http.Redirect(w, r, "http://mirror.example.org/web.qcow2", http.StatusFound)
				return true
			},
			errors: []string{"mirror.example.org", "found http and no checksum", "--insecure"}, requests: 1,
		},
	} {
		s := newServer(t, tt.before)
		dir := cacheDir(t)
		f, _ := newFetcher(t, dir)
		if tt.free > 0 {
			var taken int64
			f.cfg.Progress = func(done, _ int64) { taken = done }
			f.free = func(string) (int64, error) { return tt.free - taken, nil }
		}
		_, err := f.File(t.Context(), s.URL+"/web.qcow2", tt.want)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range append(tt.errors, s.URL+"/web.qcow2: ") {
			if !strings.Contains(err.Error(), want) && want != "found" {
				t.Errorf("%s: %v; want %q in it", name, err, want)
			}
		}
		if got := len(s.requests()); got != tt.requests {
			t.Errorf("%s: %d requests, want %d", name, got, tt.requests)
		}
		assertFiles(t, dir, tt.left...)
	}
}

// A server that fails for a while is asked again, at growing intervals.
func TestTryAgain(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request, nth int) bool {
		if nth < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return nth < 4
	})
	f, waits := newFetcher(t, cacheDir(t))
	var said []string
	f.cfg.Say = func(what string) { said = append(said, what) }
	file, err := f.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{})
	if err != nil {
		t.Fatal(err)
	}
	assertImage(t, file)
	if !slices.Equal(*waits, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}) || len(said) != 4 ||
		!strings.Contains(said[1], "503 Service Unavailable") {
		t.Errorf("waits %v, said %q", *waits, said)
	}
}

// A server that goes on bringing little is not waited for, however long it does.
func TestStall(t *testing.T) {
	for least, want := range map[int64]string{
		stallBytes: "bytes in 30s, want at least 4096; that was the last of 5 tries",
		1 << 20:    "bytes in 30s, want at least 1048576; that was the last of 5 tries",
	} {
		testStall(t, least, want)
	}
}

func testStall(t *testing.T, least int64, want string) {
	t.Helper()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(image)))
		_, _ = w.Write(image[:100])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	dir := cacheDir(t)
	f, _ := newFetcher(t, dir)
	f.cfg.Least = least
	ticks := make(chan time.Time)
	f.cfg.Ticker = func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} }
	over := make(chan error, 1)
	go func() {
		_, err := f.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{})
		over <- err
	}()
	for {
		select {
		case ticks <- time.Time{}:
			continue
		case err := <-over:
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a server that stands still: %v", err)
			}
		}
		return
	}
}

// Two processes do not write to one file.
func TestLock(t *testing.T) {
	reached, goOn := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(http.ResponseWriter, *http.Request, int) bool {
		close(reached)
		<-goOn
		return false
	})
	dir := cacheDir(t)
	f, _ := newFetcher(t, dir)
	other, _ := newFetcher(t, dir)
	over := make(chan error, 1)
	go func() {
		_, err := f.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{})
		over <- err
	}()
	<-reached
	if _, err := other.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{}); !errors.Is(err, errLocked) {
		t.Errorf("the second: %v", err)
	}
	close(goOn)
	if err := <-over; err != nil {
		t.Errorf("the first: %v", err)
	}
	if file, err := other.File(t.Context(), s.URL+"/web.qcow2", digestsOfImage()); err != nil || !file.Cached {
		t.Errorf("afterwards: %+v, %v", file, err)
	}
	assertFiles(t, dir, "web.qcow2", "web.qcow2.origin")
}

// A folder into which others can put files is no cache.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "that nobody else may write to") {
		t.Errorf("a folder of everybody: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Dir: file}); err == nil {
		t.Error("a file was taken for a folder")
	}
	s := newServer(t, nil)
	cache := cacheDir(t)
	f, _ := newFetcher(t, cache)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, entryOf(cache, s.URL+"/web.qcow2").part); err != nil {
		t.Fatal(err)
	}
	if _, err := f.File(t.Context(), s.URL+"/web.qcow2", checksum.Digests{}); err == nil {
		t.Error("a link was followed")
	}
	if content, err := os.ReadFile(victim); err != nil || string(content) != "mine" {
		t.Errorf("what the link leads to is %q, %v", content, err)
	}
}

func TestText(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		switch r.URL.Path {
		case "/SHA256SUMS":
			_, _ = w.Write([]byte("text"))
		case "/endless":
			_, _ = w.Write(make([]byte, 2*maxText))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		return true
	})
	dir := cacheDir(t)
	f, _ := newFetcher(t, dir)
	if text, err := f.Text(t.Context(), s.URL+"/SHA256SUMS"); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	for path, want := range map[string]string{"/endless": "more than 1048576 bytes", "/none": "404"} {
		if _, err := f.Text(t.Context(), s.URL+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := f.Text(t.Context(), "http://example.org/SHA256SUMS"); err == nil || !strings.Contains(err.Error(), "found http") {
		t.Errorf("by plain http: %v", err)
	}
	assertFiles(t, dir)
}
