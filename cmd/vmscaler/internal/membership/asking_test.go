package membership

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// A client that is refused by the member of the token goes on to others, whose certificates say nothing about the token.
func TestAskingAnotherMember(t *testing.T) {
	shows := func(certificate string) tls.ConnectionState {
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte(certificate), DNSNames: []string{"kvm1"}}}}
	}
	sum := sha256.Sum256([]byte("kvm1"))
	a := asking{url: "tls://kvm1:4222", host: "kvm1"}
	a.secret.Fingerprint, a.secret.Expires = sum[:], time.Now().Add(time.Hour)
	if err := a.verify(shows("another")); err == nil || !strings.Contains(a.unreached(err).Error(), "shows another certificate") {
		t.Errorf("at first: %v, %v", err, a.unreached(err))
	}
	a.shown = nil
	if err := a.verify(shows("kvm1")); err != nil {
		t.Fatal(err)
	}
	err := fmt.Errorf("connect: %w", a.verify(shows("another")))
	if a.shown != nil || !errors.Is(a.unreached(err), errUnknownToken) {
		t.Errorf("then: %v, %v", err, a.unreached(err))
	}
	for _, err := range []error{nats.ErrNoServers, nats.ErrTimeout} {
		if got := a.unreached(err); errors.Is(got, errUnknownToken) || !strings.Contains(got.Error(), "no bus answers") {
			t.Errorf("%v: %v", err, got)
		}
	}
}
