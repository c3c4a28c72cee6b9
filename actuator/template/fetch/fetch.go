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

// Config is how files are fetched.
type Config struct {
	Dir      string                  // the cache folder; it is made where it is missing
	Insecure bool                    // also by http without a checksum
	Progress func(done, total int64) // bytes; total is 0 where the server does not tell; may be nil
	Say      func(what string)       // why something takes longer; may be nil
}

// Fetcher gets files into a cache folder. It is for one goroutine.
type Fetcher struct {
	cfg    Config
	base   http.RoundTripper
	ticker ticker
	pause  func(context.Context, time.Duration) error
	free   func(dir string) (int64, error)
}

// New makes the cache folder.
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
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // digests and ranges are of the bytes as they are published
	transport.DisableKeepAlives = true
	transport.ForceAttemptHTTP2 = false
	return &Fetcher{cfg: cfg, base: transport, ticker: realTicker, pause: pause, free: freeIn}, nil
}

// pause waits, or until ctx ends.
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
	URL     string           // as it was asked for, without what can be a key
	Digests checksum.Digests // of the file
	Cached  bool             // it was there already
}

const (
	maxTries  = 5       // in a row that bring less than this
	gainBytes = 1 << 20 // after which a failure counts as the first one
	firstWait = time.Second
)

// File gets the file at an address into the cache, unless it is there and has not changed. Where one of the digests is known, the
// file has it; one that has not is deleted. What was fetched so far is kept when it fails, or ctx ends, and continued the next
// time.
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

// maxText is how long a text may be that is fetched, as a list of checksums.
const maxText = 1 << 20

// Text gets a short text, which is kept nowhere.
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
	ctx, stop := watched(ctx, f.ticker, &count)
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

// tries does something until it succeeds, or fails for good, or again and again without a gain.
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

// ask sends a request and returns the answer, whose body is the caller's to close.
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
			err = around.Err // it repeats the address
		}
		return nil, because(ctx, err)
	}
	return answer, nil
}

// because is what ended ctx, where that made something fail.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sayLeft tells a person what there is yet after a failure. It is no part of the error, which an interrupted command does not
// print.
func (d *download) sayLeft() {
	if st, err := os.Stat(d.at.part); err == nil && st.Size() > 0 {
		d.cfg.Say(fmt.Sprintf("the %d MiB that are there are kept in %s; the same command goes on from them", st.Size()>>20, d.at.part))
	}
}
