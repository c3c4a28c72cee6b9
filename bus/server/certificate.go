package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus/client"
)

const (
	certificateEvery = time.Second     // how often the files are looked at
	renewalRetry     = 5 * time.Second // after a renewal that failed
	// renewalSubject is where a member asks the one with the authority for the certificate of a name, which tells nobody a secret:
	// it is for the key that the member has. No role may publish there.
	renewalSubject = "vmscaler.certificate."
)

// liveCertificate is what a server shows to whoever connects: what its files have now. A change cuts nobody off.
type liveCertificate struct {
	cert, key string // files
	now       atomic.Pointer[tls.Certificate]
	changed   [2]time.Time // of the files, when they were read last
}

func openCertificate(cert, key string) (*liveCertificate, error) {
	l := &liveCertificate{cert: cert, key: key}
	_, err := l.load()
	return l, err
}

// load reads the files where they are others than before, and reports whether they were. What cannot be used changes nothing.
func (l *liveCertificate) load() (changed bool, err error) {
	var at [2]time.Time
	for i, path := range []string{l.cert, l.key} {
		info, err := os.Stat(path)
		if err != nil {
			return false, fmt.Errorf("bus: TLS: %w", err)
		}
		at[i] = info.ModTime()
	}
	if at == l.changed {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(l.cert, l.key)
	if err != nil {
		return false, fmt.Errorf("bus: TLS: %s and %s: %w", l.cert, l.key, err)
	}
	l.changed = at
	l.now.Store(&pair)
	return true, nil
}

func (l *liveCertificate) leaf() *x509.Certificate { return l.now.Load().Leaf }

// show has connections of a config show it, of either side.
func (l *liveCertificate) show(c *tls.Config) {
	c.Certificates = nil
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.now.Load(), nil }
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return l.now.Load(), nil }
}

// certificateKeeper renews the certificate of a server where it is one of [MakeCertificates], and has the server show what its
// files have.
type certificateKeeper struct {
	live     *liveCertificate
	stateDir string
	name     string       // of the certificate among those that were made; "": it is the operator's, who renews it
	conn     *client.Conn // nil where there are no other members
	log      zerolog.Logger
	said     string    // what went wrong last
	retry    time.Time // when it is tried again
}

// keepCertificate follows the files of the server's certificate until stop.
func (s *Server) keepCertificate(cfg Config, log zerolog.Logger) (stop func(), err error) {
	k := &certificateKeeper{live: s.live, stateDir: cfg.StateDir, name: madeName(cfg.StateDir, cfg.Cert), log: log}
	if k.name != "" && cfg.Cluster != nil {
		if k.conn, err = s.Connect("bus-certificates", log); err != nil {
			return nil, err
		}
		if _, err := k.conn.NATS().Subscribe(renewalSubject+"*", k.answer); err != nil {
			k.conn.Close()
			return nil, fmt.Errorf("bus: certificates: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(certificateEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				k.step(ctx, time.Now())
			case <-ctx.Done():
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
		if k.conn != nil {
			k.conn.Close()
		}
	}), nil
}

// madeName is whose certificate a file is of those that [MakeCertificates] has made; "": it is none of them.
func madeName(stateDir, cert string) string {
	if stateDir == "" {
		return ""
	}
	path, err := filepath.Abs(cert)
	if err != nil {
		return ""
	}
	dir, err := filepath.Abs(CertificatesDir(stateDir))
	if err != nil || filepath.Base(path) != busCert || filepath.Dir(filepath.Dir(path)) != dir {
		return ""
	}
	return filepath.Base(filepath.Dir(path))
}

// step renews the certificate when it is time, and shows what the files have.
func (k *certificateKeeper) step(ctx context.Context, now time.Time) {
	var err error
	if k.name != "" && !now.Before(renewalOf(k.live.leaf())) && !now.Before(k.retry) {
		if err = k.renew(ctx, now); err != nil {
			k.retry = now.Add(renewalRetry)
		}
	}
	changed, bad := k.live.load()
	err = errors.Join(err, bad)
	switch {
	case ctx.Err() != nil:
	case err != nil && err.Error() != k.said:
		k.said = err.Error()
		k.log.Warn().Err(err).Msgf("bus: the certificate that ends at %s stays", k.live.leaf().NotAfter.Format(time.DateTime))
	case changed:
		k.said = ""
		k.log.Info().Msgf("bus: a new certificate, which ends at %s", k.live.leaf().NotAfter.Format(time.DateTime))
	}
}

// renew has the authority make the certificate anew, or asks the member that has it to, and writes it.
func (k *certificateKeeper) renew(ctx context.Context, now time.Time) error {
	ca, err := openAuthority(k.stateDir)
	switch {
	case err == nil:
		_, err = ca.renewed(k.name, now)
		return err
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case k.conn == nil:
		return fmt.Errorf("the authority that made the certificate is not here (%s): %w", CertificatesDir(k.stateDir), err)
	}
	ctx, cancel := context.WithTimeout(ctx, keepTry)
	defer cancel()
	msg, err := k.conn.NATS().RequestWithContext(ctx, renewalSubject+k.name, nil)
	if err != nil {
		return fmt.Errorf("no member with the authority has renewed the certificate of %s: %w", k.name, err)
	}
	keyPEM, err := os.ReadFile(k.live.key)
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	pair, err := tls.X509KeyPair(msg.Data, keyPEM)
	switch {
	case err != nil:
		return fmt.Errorf("what another member has for %s is not for this one's key: %w", k.name, err)
	case !pair.Leaf.NotAfter.After(k.live.leaf().NotAfter):
		return fmt.Errorf("what another member has for %s ends no later", k.name)
	}
	return writeWhole(k.live.cert, msg.Data)
}

// answer tells another member its certificate, where the authority is here: elsewhere it says nothing.
func (k *certificateKeeper) answer(msg *nats.Msg) {
	name := strings.TrimPrefix(msg.Subject, renewalSubject)
	ca, err := openAuthority(k.stateDir)
	if errors.Is(err, fs.ErrNotExist) || CheckAgentName(name) != nil {
		return
	}
	var data []byte
	if err == nil {
		data, err = ca.renewed(name, time.Now())
	}
	if err == nil {
		err = msg.Respond(data)
	}
	if err != nil {
		k.log.Warn().Err(err).Msgf("bus: renew the certificate of %s", name)
	}
}
