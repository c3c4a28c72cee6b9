package membership

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

const (
	answerWithin = 10 * time.Second // that the bus may take to answer, connecting included
	knownWithin  = 5 * time.Second  // that a member of it may take to learn of a token that was made at another one
	askAgain     = 300 * time.Millisecond
)

var (
	// errUnknownToken means that the bus does not let its holder in.
	errUnknownToken = errors.New("the bus does not know this token")
	// errElsewhere means that the client, refused by the member that it was to ask, has tried another one.
	errElsewhere = errors.New("another member of the bus's cluster")
)

// Fingerprint is that of a certificate (PEM, the first of several), as tokens have it.
func Fingerprint(certificates []byte) ([]byte, error) {
	first, err := firstCertificate(certificates)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(first.Raw)
	return sum[:], nil
}

// Join has the bus at a URL take a host in by a token, and keeps the membership in the state folder. Where it fails nothing is
// left behind there.
func Join(ctx context.Context, stateDir, at, token string, id bus.HostID) (Membership, error) {
	m := Membership{HostID: id, URL: at}
	secret, err := server.ReadToken(token)
	if err != nil {
		return m, fmt.Errorf("--token: %w", err)
	}
	m.TLS = secret.Fingerprint != nil
	host, err := checkURL(at, m.TLS)
	if err != nil {
		return m, err
	}
	if old, found, err := Load(stateDir); err != nil || found {
		return m, errors.Join(err, fmt.Errorf("this host has joined %s already, as %s: delete the folder %s to join again",
			old.URL, old.Name, Dir(stateDir)))
	}
	seed, public, err := newKey()
	if err != nil {
		return m, err
	}
	files, err := begin(stateDir, seed)
	if err != nil {
		return m, err
	}
	a := asking{url: at, host: host, secret: secret}
	answer, err := a.askUntilKnown(ctx, bus.Join{V: bus.Version, HostID: id, Key: public})
	if err != nil {
		files.undo()
		return m, err
	}
	m.Name, m.URL = answer.Name, strings.Join(append([]string{at}, a.others...), ",")
	if err := files.finish(m, answer.Certificates); err != nil {
		files.undo()
		return m, fmt.Errorf("the bus has let this host in, which then could not keep that: %w; `vmscaler host remove %s` on "+
			"the bus's "+
			"machine, before another token", err, m.Name)
	}
	return m, nil
}

// checkURL wants one URL of a bus, and without TLS one on this machine.
func checkURL(at string, withTLS bool) (host string, err error) {
	u, err := url.Parse(at)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(at, ",") || u.Scheme != "tls" && u.Scheme != "nats" {
		return "", fmt.Errorf("URL: found %q, want one such as tls://kvm1:4222", at)
	}
	if !withTLS && (u.Scheme == "tls" || !bus.IsLoopback(u.Hostname())) {
		return "", fmt.Errorf("URL: found %q, but the token is of a bus without TLS, which only this machine may reach: let "+
			"the bus have a "+
			"certificate (bus.cert), and get another token", at)
	}
	return u.Hostname(), nil
}

func newKey() (seed []byte, public string, err error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	defer key.Wipe()
	s, err := key.Seed()
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	if public, err = key.PublicKey(); err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	return bytes.Clone(s), public, nil
}

// asking is one try to join.
type asking struct {
	url, host string
	secret    server.Secret
	others    []string // the other members of the bus's cluster
	met       bool     // the bus has shown the certificate of the token
	shown     error    // what is wrong with the one that it shows
}

// askUntilKnown gives the bus a moment to learn of the token.
func (a *asking) askUntilKnown(ctx context.Context, j bus.Join) (bus.Joined, error) {
	late := time.After(knownWithin)
	for {
		joined, err := a.ask(ctx, j)
		if !errors.Is(err, errUnknownToken) {
			return joined, err
		}
		select {
		case <-ctx.Done():
			return joined, err
		case <-late:
			return joined, err
		case <-time.After(askAgain):
		}
	}
}

// ask sends the request to join, and returns the answer where it is yes.
func (a *asking) ask(ctx context.Context, j bus.Join) (joined bus.Joined, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	a.met = false
	key, err := nkeys.FromSeed(a.secret.Seed)
	if err != nil {
		return joined, fmt.Errorf("--token: %w", err)
	}
	defer key.Wipe()
	holder, err := key.PublicKey()
	if err != nil {
		return joined, fmt.Errorf("--token: %w", err)
	}
	options := []nats.Option{
		nats.Name("vmscaler host join"), nats.Nkey(holder, key.Sign), nats.CustomInboxPrefix(bus.JoinInbox(holder)),
		nats.NoReconnect(),
		nats.Timeout(answerWithin), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if a.secret.Fingerprint != nil {
		options = append(options, nats.Secure(&tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: a.host,
			InsecureSkipVerify: true, //nolint:gosec // the fingerprint of the token says whether it is the bus's
			VerifyConnection:   a.verify,
		}))
	}
	nc, err := nats.Connect(a.url, options...)
	if err != nil {
		return joined, a.unreached(err)
	}
	defer nc.Close()
	data, err := json.Marshal(j)
	if err != nil {
		return joined, fmt.Errorf("join: %w", err)
	}
	msg, err := nc.RequestWithContext(ctx, bus.JoinSubject(holder), data)
	if err != nil {
		return joined, fmt.Errorf("the bus at %s does not answer: %w", a.url, err)
	}
	if joined, err = bus.Decode[bus.Joined](msg.Data); err != nil {
		return joined, err
	}
	if joined.Refused != "" {
		return joined, fmt.Errorf("the bus at %s refuses this host: %s%s", a.url, joined.Text, remedy(joined.Refused))
	}
	a.others = slices.DeleteFunc(nc.DiscoveredServers(), func(other string) bool { return other == a.url })
	return joined, nil
}

// verify is whether the bus shows the certificate of the token, and is called by a name that it is for.
func (a *asking) verify(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0] // there is one, or the handshake has failed
	if a.met {
		return errElsewhere
	}
	if sum := sha256.Sum256(leaf.Raw); !bytes.Equal(sum[:], a.secret.Fingerprint) {
		a.shown = fmt.Errorf("what answers at %s shows another certificate (SHA-256 %x) than the token's bus has (%x): it is "+
			"another one, "+
			"somebody is in between, or the certificate was renewed since: nothing was sent", a.url, sum, a.secret.Fingerprint)
		return a.shown
	}
	if err := leaf.VerifyHostname(a.host); err != nil {
		a.shown = fmt.Errorf("the certificate of the bus is not for the name in the URL %s: %w", a.url, err)
		return a.shown
	}
	a.met = true
	return nil
}

// unreached says why there is no connection.
func (a *asking) unreached(err error) error {
	switch {
	case a.shown != nil:
		return a.shown
	case errors.Is(err, nats.ErrNoServers):
		return fmt.Errorf("no bus answers at %s", a.url)
	case !errors.Is(err, nats.ErrAuthorization) && !errors.Is(err, errElsewhere):
		return fmt.Errorf("no bus answers at %s: %w", a.url, err)
	case time.Now().After(a.secret.Expires):
		return fmt.Errorf("the token has expired, at %s: get another one with `vmscaler host add NAME` on the bus's machine",
			a.secret.Expires.Local().Format(time.DateTime))
	}
	return fmt.Errorf("the bus at %s refuses this host: %w, as another one for the same name has taken its place, or it is of "+
		"another bus; get one with `vmscaler host add NAME` on the bus's machine", a.url, errUnknownToken)
}

// remedy is what a person can do about a refusal.
func remedy(why bus.JoinRefusal) string {
	switch why {
	case bus.JoinSpent, bus.JoinExpired:
		return "; get another one with `vmscaler host add NAME` on the bus's machine"
	case bus.JoinTaken:
		return "; `vmscaler host remove NAME` there takes a right back"
	case bus.JoinFailed:
	}
	return ""
}

func firstCertificate(certificates []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certificates)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("found no certificate (PEM)")
	}
	return x509.ParseCertificate(block.Bytes) //nolint:wrapcheck // says what is wrong
}

// Names are the names and addresses that a certificate (PEM, the first of several) is for, names first; those with a wildcard
// are left out.
func Names(certificates []byte) ([]string, error) {
	leaf, err := firstCertificate(certificates)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(slices.Clone(leaf.DNSNames), func(name string) bool { return strings.Contains(name, "*") })
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names, nil
}
