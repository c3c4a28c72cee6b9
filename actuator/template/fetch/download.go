package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/actuator/template/checksum"
)

// download is the state of downloading one file.
type download struct {
	*Fetcher
	*checksum.Digester
	url  *url.URL
	at   entry
	want checksum.Digests

	origin origin
	file   *os.File // the partial file
	done   int64    // bytes in it, all of which have gone through the digester
	cached bool     // the complete file is there, in the version that origin names
}

func (d *download) run(ctx context.Context) (_ File, err error) {
	if file, err := d.inCache(); file != nil || err != nil {
		return deref(file), err
	}
	if d.cached {
		d.cfg.Say("asking whether " + public(d.url) + " has changed")
	} else {
		d.cfg.Say("fetching " + public(d.url))
	}
	if err := d.openPart(); err != nil {
		return File{}, err
	}
	defer func() { err = errors.Join(err, d.file.Close()) }()
	err = d.tries(ctx, func(ctx context.Context) (int64, error) {
		before := d.done
		err := d.once(ctx)
		return d.done - before, err
	})
	if err != nil {
		return File{}, errors.Join(err, d.dropEmpty())
	}
	if d.cached {
		return d.sameAsCached()
	}
	return d.keep()
}

func deref(f *File) File {
	if f == nil {
		return File{}
	}
	return *f
}

// inCache returns the cached file if its digest is the wanted one: then the server need not be asked. A file with another digest
// is an older version; it is kept until a new one has replaced it.
func (d *download) inCache() (*File, error) {
	if !isThere(d.at.path) {
		return nil, nil
	}
	d.origin = readOrigin(d.at.origin)
	if !d.want.Any() {
		d.cached = d.origin.URL == d.url.String() && d.origin.validator() != "" && !isThere(d.at.part)
		return nil, nil
	}
	digests, err := digestsOf(d.at.path)
	if err != nil {
		return nil, err
	}
	if digests.Differs(d.want) != "" {
		return nil, nil
	}
	return &File{Path: d.at.path, URL: public(d.url), Digests: digests, Cached: true}, nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sameAsCached handles the answer that the cached file is still current.
func (d *download) sameAsCached() (File, error) {
	digests, err := digestsOf(d.at.path)
	if err != nil {
		return File{}, err
	}
	return File{Path: d.at.path, URL: public(d.url), Digests: digests, Cached: true}, drop(d.at.part, d.at.partOrigin)
}

func digestsOf(path string) (checksum.Digests, error) {
	f, err := os.Open(path)
	if err != nil {
		return checksum.Digests{}, err
	}
	defer f.Close()
	sums := checksum.NewDigester()
	if _, err := io.Copy(sums, f); err != nil {
		return checksum.Digests{}, err
	}
	return sums.Digests(), nil
}

// openPart opens what an earlier run has left. A part of an unknown version is useless, as the rest may be of another one.
func (d *download) openPart() (err error) {
	if d.file, err = os.OpenFile(d.at.part, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600); err != nil {
		return err
	}
	if d.cached {
		return nil
	}
	d.origin = readOrigin(d.at.partOrigin)
	st, err := d.file.Stat()
	if err == nil && st.Size() > 0 {
		if d.origin.URL != d.url.String() || d.origin.validator() == "" || d.origin.Size > 0 && st.Size() > d.origin.Size {
			d.cfg.Say("what was fetched before cannot be gone on from: the server did not tell which version it is; " + anew)
			return d.startOver()
		}
		d.done, err = io.Copy(d.Digester, d.file)
	}
	if err != nil {
		return errors.Join(err, d.file.Close())
	}
	return nil
}

// startOver discards the partial file.
func (d *download) startOver() error {
	d.done, d.cached, d.Digester, d.origin = 0, false, checksum.NewDigester(), origin{}
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

const anew = "it is fetched from its start"

// once sends one request and writes what arrives of the body. done counts what was written, also on failure, so that the next
// request continues from there.
func (d *download) once(ctx context.Context) error {
	if d.done > 0 && d.done == d.origin.Size {
		return nil // it was complete when an earlier process ended
	}
	var count atomic.Int64
	limited, stop := watched(ctx, d.cfg.Ticker, &count, d.cfg.Least)
	defer stop()
	answer, err := d.ask(limited, d.url, d.header(), d.want.Any())
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	v, size, err := judge(answer.StatusCode, answer.Header, answer.ContentLength,
		have{done: d.done, whole: d.cached, size: d.origin.Size})
	if err != nil {
		return err
	}
	switch v {
	case unchanged:
		return nil
	case startOver:
		if err := d.startOver(); err != nil {
			return refusal{err}
		}
		return errors.New("the server has another file now; " + anew)
	case takeAll:
		if d.done > 0 {
			d.cfg.Say("the server has another file now, or sends no parts of one; " + anew)
		}
		if err := d.startOver(); err != nil {
			return refusal{err}
		}
		d.origin = origin{ETag: strong(answer.Header.Get("ETag")), LastModified: answer.Header.Get("Last-Modified")}
	case takeRest:
	case later: // is an error
	}
	d.origin.URL, d.origin.Size = d.url.String(), size
	if err := d.origin.write(d.at.partOrigin); err != nil {
		return refusal{err}
	}
	return d.take(limited, answer.Body, &count)
}

// header requests the missing rest of the version that is in the cache.
func (d *download) header() http.Header {
	h := http.Header{}
	switch {
	case d.done > 0:
		h.Set("Range", fmt.Sprintf("bytes=%d-", d.done))
		h.Set("If-Range", d.origin.validator())
	case d.cached && d.origin.ETag != "":
		h.Set("If-None-Match", d.origin.ETag)
	case d.cached:
		h.Set("If-Modified-Since", d.origin.LastModified)
	}
	return h
}

const (
	roomPeriod = 32 << 20  // bytes between two checks of the free space
	keepFree   = 256 << 20 // bytes that stay free whatever size the server announces
)

// take appends a body to the partial file.
func (d *download) take(ctx context.Context, body io.Reader, count *atomic.Int64) error {
	buf := make([]byte, 256*1024)
	for look := int64(0); ; {
		if look <= 0 {
			if err := d.roomFor(max(d.origin.Size-d.done, roomPeriod)); err != nil {
				return err
			}
			look = roomPeriod
		}
		n, err := body.Read(buf)
		count.Add(int64(n))
		look -= int64(n)
		if n > 0 {
			if d.origin.Size > 0 && d.done+int64(n) > d.origin.Size {
				return refuse("found more than the %d bytes that the server told", d.origin.Size)
			}
			if _, err := d.file.Write(buf[:n]); err != nil {
				return refusal{err}
			}
			if _, err := d.Write(buf[:n]); err != nil {
				return refusal{err}
			}
			d.done += int64(n)
			d.cfg.Progress(d.done, d.origin.Size)
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF):
			return because(ctx, err)
		case d.origin.Size > 0 && d.done < d.origin.Size:
			return fmt.Errorf("found %d bytes, want the %d that the server told", d.done, d.origin.Size)
		}
		return nil
	}
}

func (d *download) roomFor(need int64) error {
	free, err := d.free(d.cfg.Dir)
	if err != nil {
		return refusal{err}
	}
	if need > free-keepFree {
		return refusal{fmt.Errorf("%w in %s: it needs %d MiB more, and %d MiB are free, of which %d MiB are kept; %s", ErrNoRoom,
			d.cfg.Dir, need>>20, free>>20, keepFree>>20, d.cfg.Remedy)}
	}
	return nil
}

// keep renames the partial file to the complete one after its digest is checked.
func (d *download) keep() (File, error) {
	digests := d.Digests()
	if wrong := digests.Differs(d.want); wrong != "" {
		return File{}, errors.Join(fmt.Errorf("%w: %s; what was fetched is deleted", ErrDigest, wrong),
			drop(d.at.part, d.at.partOrigin))
	}
	if d.done == 0 {
		return File{}, errors.Join(errors.New("found an empty file"), drop(d.at.part, d.at.partOrigin))
	}
	d.origin.Size = d.done
	if err := d.file.Sync(); err != nil {
		return File{}, err
	}
	// A crash between these steps leaves a file without an origin, which is downloaded again.
	if err := drop(d.at.origin); err != nil {
		return File{}, err
	}
	if err := os.Rename(d.at.part, d.at.path); err != nil {
		return File{}, err
	}
	if err := errors.Join(d.origin.write(d.at.origin), drop(d.at.partOrigin)); err != nil {
		return File{}, err
	}
	return File{Path: d.at.path, URL: public(d.url), Digests: digests}, nil
}

// dropEmpty deletes an empty partial file.
func (d *download) dropEmpty() error {
	if d.done > 0 {
		return nil
	}
	return drop(d.at.part, d.at.partOrigin)
}
