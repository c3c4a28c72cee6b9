package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template/checksum"
)

// Config configures a Fetcher.
type Config struct {
	Dir      string                  // the cache folder; it is created if missing
	Insecure bool                    // allow http without a checksum
	Progress func(done, total int64) // in bytes; total is 0 if unknown; may be nil
	Say      func(what string)       // reports retries and other delays; may be nil
	// Transport has the requests answered; nil: the network does, by the usual proxies and authorities.
	Transport http.RoundTripper
	Least     int64  // bytes that a transfer must bring in 30 s, else it is tried anew; 0 is 4096
	Ticker    Ticker // of those 30 s; nil: the real clock
	Remedy    string // what to do where Dir is full; "" is that of a command
}

// Why a file was not had, where that matters to the caller.
var (
	ErrDigest = errors.New("it is not the file that was published")
	ErrNoRoom = errors.New("no room")
	ErrBusy   = errors.New("the server has no time now")
)

// Fetcher downloads files into a cache folder. It is not safe for concurrent use.
type Fetcher struct {
	cfg   Config
	base  http.RoundTripper
	pause func(context.Context, time.Duration) error
	free  func(dir string) (int64, error)
}

// New creates the cache folder. It returns an error for one that others may write to.
func New(cfg Config) (*Fetcher, error) {
	if cfg.Progress == nil {
		cfg.Progress = func(int64, int64) {}
	}
	if cfg.Say == nil {
		cfg.Say = func(string) {}
	}
	if err := openFolder(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Least == 0 {
		cfg.Least = stallBytes
	}
	if cfg.Remedy == "" {
		cfg.Remedy = "free some there, or name another folder with --cache"
	}
	if cfg.Ticker == nil {
		cfg.Ticker = realTicker
	}
	if cfg.Transport != nil {
		return &Fetcher{cfg: cfg, base: cfg.Transport, pause: pause, free: freeIn}, nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // digests and ranges refer to the published bytes
	transport.DisableKeepAlives = true
	transport.ForceAttemptHTTP2 = false
	return &Fetcher{cfg: cfg, base: transport, pause: pause, free: freeIn}, nil
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// File is a file in the cache.
type File struct {
	Path    string
	URL     string           // as requested, without the query and user, which can be secret
	Digests checksum.Digests // of the file
	Cached  bool             // it was in the cache already, and nothing was downloaded
}

const (
	maxTries  = 5       // in a row that gain less than gainBytes
	gainBytes = 1 << 20 // a try that gains so much starts the count again
	firstWait = time.Second
)

// File downloads the file at a URL into the cache, unless it is there and unchanged. If a digest is given, a file with another
// digest is deleted and an error. On failure, or when ctx ends, the partial file is kept, and the next call resumes it.
func (f *Fetcher) File(ctx context.Context, address string, want checksum.Digests) (_ File, err error) {
	u, err := parse(address)
	if err != nil {
		return File{}, err
	}
	if err := safe(u, want.Any(), f.cfg.Insecure); err != nil {
		return File{}, err
	}
	at := entryOf(f.cfg.Dir, u.String())
	release, err := at.hold()
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", public(u), err)
	}
	defer func() { err = errors.Join(err, release()) }()
	d := &download{Fetcher: f, url: u, at: at, want: want, Digester: checksum.NewDigester()}
	file, err := d.run(ctx)
	if err != nil {
		d.sayLeft()
		return File{}, fmt.Errorf("%s: %w", public(u), err)
	}
	return file, nil
}

// maxText is the maximum size of a text, in bytes. Distributions publish checksum lists of some KiB.
const maxText = 1 << 20

// Text downloads a short text, such as a list of checksums. It is not cached. Longer ones are an error.
func (f *Fetcher) Text(ctx context.Context, address string) ([]byte, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	if err := safe(u, false, f.cfg.Insecure); err != nil {
		return nil, err
	}
	var text []byte
	err = f.tries(ctx, func(ctx context.Context) (gained int64, err error) {
		text, err = f.textOnce(ctx, u)
		return 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", public(u), err)
	}
	return text, nil
}

func (f *Fetcher) textOnce(ctx context.Context, u *url.URL) (text []byte, err error) {
	var count atomic.Int64
	ctx, stop := watched(ctx, f.cfg.Ticker, &count, f.cfg.Least)
	defer stop()
	answer, err := f.ask(ctx, u, nil, false)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if _, _, err := judge(answer.StatusCode, answer.Header, answer.ContentLength, have{}); err != nil {
		return nil, err
	}
	text, err = io.ReadAll(io.LimitReader(answer.Body, maxText+1))
	if err != nil {
		return nil, because(ctx, err)
	}
	if len(text) > maxText {
		return nil, refuse("found more than %d bytes, want a list of checksums of at most that", maxText)
	}
	return text, nil
}

// tries repeats do until it succeeds, fails with a refusal, or fails maxTries times in a row without progress.
func (f *Fetcher) tries(ctx context.Context, once func(context.Context) (gained int64, err error)) error {
	wait, failed := firstWait, 0
	for {
		gained, err := once(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var final refusal
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &final) || errors.As(err, &certificate) {
			return err
		}
		if gained >= gainBytes {
			wait, failed = firstWait, 0
		}
		if failed++; failed == maxTries {
			return fmt.Errorf("%w; that was the last of %d tries", err, maxTries)
		}
		f.cfg.Say(fmt.Sprintf("%s; again in %s", err, wait))
		if err := f.pause(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// ask sends a request and returns the response. The caller closes its body.
func (f *Fetcher) ask(ctx context.Context, u *url.URL, header http.Header, checked bool) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, refusal{err}
	}
	if header != nil {
		request.Header = header
	}
	request.Header.Set("User-Agent", "vmscaler")
	request.Header.Set("Accept-Encoding", "identity")
	client := http.Client{Transport: f.base, CheckRedirect: redirects(checked, f.cfg.Insecure)}
	answer, err := client.Do(request)
	if err != nil {
		var around *url.Error
		if errors.As(err, &around) {
			err = around.Err // the wrapping error repeats the URL, which can hold a key
		}
		return nil, because(ctx, err)
	}
	return answer, nil
}

// because returns the cause of ctx's end if that is why err occurred, such as a stall.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sayLeft reports how much was kept after a failure. It is not part of the error, as an interrupted command prints none.
func (d *download) sayLeft() {
	if st, err := os.Stat(d.at.part); err == nil && st.Size() > 0 {
		d.cfg.Say(fmt.Sprintf("the %d MiB that are there are kept in %s; the same command goes on from them", st.Size()>>20, d.at.part))
	}
}
