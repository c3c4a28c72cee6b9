package staging

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// newCertificate makes a key, which no file has, and a certificate for it that nobody vouches for: who it is of is said on the
// bus, by its fingerprint.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key: %w", err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vmscaler"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // it ends with the process
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// fingerprintOf is SHA-256 of a certificate, in hexadecimal.
func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

var errStranger = errors.New("its certificate is not one of an actuator that is heard on the bus")

// pinned is a side of a connection whose other side must show a certificate that is known by its fingerprint.
func pinned(own tls.Certificate, known func(fingerprint string) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		InsecureSkipVerify:     true, //nolint:gosec // no authority vouches for either; VerifyConnection compares fingerprints
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) != 1 || !known(fingerprintOf(s.PeerCertificates[0].Raw)) {
				return errStranger
			}
			return nil
		},
	}
}

// mostAddresses is how many addresses of a host are said.
const mostAddresses = 8

// addressesOf are where others reach a listener: the host that it was told, or all addresses of the machine that are not for
// itself alone.
func addressesOf(host string, listener net.Addr, interfaces []net.Addr) (all []string) {
	_, port, err := net.SplitHostPort(listener.String())
	if err != nil {
		return nil
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{net.JoinHostPort(host, port)}
	}
	for _, a := range interfaces {
		if n, is := a.(*net.IPNet); is && n.IP.IsGlobalUnicast() && len(all) < mostAddresses {
			all = append(all, net.JoinHostPort(n.IP.String(), port))
		}
	}
	return all
}
