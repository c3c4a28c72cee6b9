package staging

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/checksum"
	"github.com/vmscaler/vmscaler/actuator/template/fetch"
	"github.com/vmscaler/vmscaler/bus"
)

// transfer is one template on its way here. Its first fields do not change.
type transfer struct {
	name    string
	source  source
	shunned map[shun]time.Time // where it is not had from
	began   time.Time
	cancel  context.CancelFunc

	dropped bool // by the loop: it is not wanted any more
	percent atomic.Int32
	mu      sync.Mutex
	from    bus.TemplateServer // that it comes from, or has come from last
	used    []string           // the fingerprints of all that it came from
}

// ended is how a transfer has ended.
type ended struct {
	*transfer
	problem *problem // nil: the template is there
}

const (
	dialTime   = 5 * time.Second // for one address
	leastBytes = 30 * 64 << 10   // in 30 s; a host that sends fewer is left for the next one that has the file
	partAge    = time.Hour       // for which a part of a file is kept that nothing is added to
)

// take gets a template, and puts it into the pool.
func (s *Stager) take(ctx context.Context, t *transfer) *problem {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil { // whose file system is looked at
		return &problem{reason: bus.TemplateNotMade, text: err.Error()}
	}
	coming := template.Arrival{
		Bytes: uint64(max(t.source.size, 0)), Dir: s.cfg.Dir, There: uint64(max(fetch.There(s.cfg.Dir, addressOf(t)), 0)),
	}
	if err := s.cfg.Pool.HasRoomFor(ctx, coming); err != nil {
		return &problem{reason: bus.TemplateNoRoom, text: err.Error()}
	}
	file, p := s.fetch(ctx, t)
	if p != nil {
		return p
	}
	if err := isQcow2(file); err != nil {
		s.drop(file)
		return &problem{reason: bus.TemplateBroken, text: err.Error()}
	}
	log := s.log.With().Str("template", t.name).Logger()
	warn := func(what string) { log.Warn().Msg(what) }
	err := s.cfg.Pool.Import(ctx, t.name, wanting(file, t.source.digest, t.server().Host), warn)
	switch {
	case errors.Is(err, template.ErrNoRoom):
		s.drop(file) // it takes of the room that is missing
		return &problem{reason: bus.TemplateNoRoom, text: err.Error()}
	case err != nil:
		return &problem{reason: bus.TemplateNotMade, text: err.Error()}
	}
	s.drop(file)
	return nil
}

// fetch gets the file of a template into the folder. What is cut off stays there, and is gone on from.
func (s *Stager) fetch(ctx context.Context, t *transfer) (path string, p *problem) {
	f, err := fetch.New(fetch.Config{
		Dir: s.cfg.Dir, Least: leastBytes, Ticker: s.cfg.ticker, Remedy: "free some there",
		Transport: &http.Transport{DialTLSContext: s.dialer(t), DisableCompression: true, DisableKeepAlives: true},
		Progress: func(done, total int64) {
			if total > 0 {
				t.percent.Store(int32(100 * done / total)) //nolint:gosec // up to 100
			}
		},
		Say: func(what string) { s.log.Info().Str("template", t.name).Msg(what) },
	})
	if err != nil {
		return "", &problem{reason: bus.TemplateNotMade, text: err.Error()}
	}
	file, err := f.File(ctx, addressOf(t), checksum.Digests{SHA256: t.source.digest})
	switch {
	case errors.Is(err, fetch.ErrDigest):
		return "", &problem{reason: bus.TemplateBroken, text: err.Error()}
	case errors.Is(err, fetch.ErrNoRoom):
		return "", &problem{reason: bus.TemplateNoRoom, text: err.Error()}
	case errors.Is(err, fetch.ErrBusy):
		return "", &problem{busy: true}
	case err != nil:
		return "", &problem{reason: bus.TemplateUnreachable, text: err.Error()}
	}
	return file.Path, nil
}

// addressOf is that of a file whichever host it comes from: where one ends in the middle, another one goes on.
func addressOf(t *transfer) string { return "https://vmscaler" + pathPrefix + t.source.digest }

// dialer connects to whichever host that has a file can be reached, beginning with another one each time.
func (s *Stager) dialer(t *transfer) func(context.Context, string, string) (net.Conn, error) {
	next := 0
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var all error
		from := s.holders(t)
		for range from {
			server := from[next%len(from)]
			next++
			for _, address := range server.Addresses {
				conn, err := s.connect(ctx, network, address, server.Fingerprint)
				if err == nil {
					t.comesFrom(server)
					return conn, nil
				}
				all = errors.Join(all, fmt.Errorf("%s at %s: %w", server.Host, address, err))
			}
		}
		if all == nil {
			return nil, errors.New("no host offers it any more")
		}
		return nil, errors.New(strings.ReplaceAll(all.Error(), "\n", "; "))
	}
}

// holders are the hosts that offer a file now: others than at its beginning can be there, and that it began with be gone.
func (s *Stager) holders(t *transfer) []bus.TemplateServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, _, _ := choose(Wanted{t.name, t.source.digest}, s.heard(s.cfg.Now()), t.shunned)
	return from.from
}

func (s *Stager) connect(ctx context.Context, network, address, fingerprint string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	d := tls.Dialer{Config: pinned(s.own, func(shown string) bool { return shown == fingerprint })}
	return d.DialContext(ctx, network, address) //nolint:wrapcheck // the caller names the address
}

func (t *transfer) comesFrom(server bus.TemplateServer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from, t.used = server, append(t.used, server.Fingerprint)
}

func (t *transfer) server() bus.TemplateServer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.from
}

// sources are the fingerprints of all hosts that the file came from.
func (t *transfer) sources() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.used
}

// isQcow2 is an error for a file that is no template as it is: one that would be unpacked or converted would become another one.
func isQcow2(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err != nil || !bytes.Equal(head, []byte("QFI\xfb")) {
		return errors.New("what came is no qcow2 file")
	}
	return nil
}

// drop deletes a file that has come, with what is known of it.
func (s *Stager) drop(path string) {
	for _, p := range []string{path, path + ".origin"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn().Err(err).Msg("what a template came in is not deleted")
		}
	}
}

// dropOld deletes what is left of transfers that nobody has gone on with.
func (s *Stager) dropOld(busy map[string]*transfer) {
	files, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return // nothing has come yet
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || s.cfg.Now().Sub(info.ModTime()) < partAge || !info.Mode().IsRegular() {
			continue
		}
		used := false
		for _, t := range busy {
			used = used || strings.Contains(f.Name(), t.source.digest)
		}
		if !used {
			s.drop(filepath.Join(s.cfg.Dir, f.Name()))
		}
	}
}
