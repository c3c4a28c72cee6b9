package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// Files of certificates: those of the authority itself, and for each name a folder with its own.
const (
	certificatesFolder = "certificates"
	authorityCert      = "ca.crt"
	authorityKey       = "ca.key"
	busCert            = "bus.crt" // the certificate, and after it the authority's
	busKey             = "bus.key"
)

// CertificateLife is how long a certificate of [MakeCertificates] holds; it is renewed when a third of that is left.
const CertificateLife = 365 * 24 * time.Hour

const (
	authorityLife = 10 * CertificateLife
	clockSkew     = time.Hour // certificates hold from so long before they are made, as hosts' clocks differ
)

// CertificatesDir is the folder of the certificates that [MakeCertificates] makes.
func CertificatesDir(stateDir string) string { return filepath.Join(stateDir, certificatesFolder) }

// MakeCertificates makes a certificate for each name, by which a bus of that name is known to clients and to the other
// members of its cluster, in the folder NAME of [CertificatesDir]: bus.crt, bus.key and ca.crt. The authority that they are
// from is made where there is none, and its key stays in [CertificatesDir] itself. What a name had is replaced. A name is a
// host's, or its IP address. life is how long they hold from now on.
func MakeCertificates(stateDir string, names []string, life time.Duration, now time.Time) error {
	for _, name := range names {
		if err := CheckAgentName(name); err != nil {
			return err
		}
	}
	ca, err := openAuthority(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		ca, err = makeAuthority(stateDir, now)
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ca.makeFor(name, life, now); err != nil {
			return fmt.Errorf("certificate for %s: %w", name, err)
		}
	}
	return nil
}

// authority is who vouches for the members of a cluster.
type authority struct {
	dir  string
	cert *x509.Certificate
	pem  []byte // cert
	key  crypto.Signer
}

// openAuthority reads the authority of a state folder. The error is fs.ErrNotExist where it is another host's, or none.
func openAuthority(stateDir string) (*authority, error) {
	dir := CertificatesDir(stateDir)
	keyPEM, err := os.ReadFile(filepath.Join(dir, authorityKey))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	certPEM, err := os.ReadFile(filepath.Join(dir, authorityCert))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	key, err := readKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, authorityKey), err)
	}
	cert, err := readCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, authorityCert), err)
	}
	return &authority{dir, cert, certPEM, key}, nil
}

func makeAuthority(stateDir string, now time.Time) (*authority, error) {
	dir := CertificatesDir(stateDir)
	key, keyPEM, err := makeKey()
	if err != nil {
		return nil, err
	}
	of := blank("vmscaler", authorityLife, now)
	of.IsCA, of.BasicConstraintsValid, of.MaxPathLenZero, of.KeyUsage = true, true, true, x509.KeyUsageCertSign
	certPEM, err := sign(of, of, key.Public(), key)
	if err != nil {
		return nil, err
	}
	// The key last: without it this is no authority.
	err = errors.Join(
		writeWhole(filepath.Join(dir, authorityCert), certPEM), writeWhole(filepath.Join(dir, authorityKey), keyPEM),
	)
	if err != nil {
		return nil, err
	}
	return openAuthority(stateDir)
}

// makeFor makes a certificate with a key of its own.
func (a *authority) makeFor(name string, life time.Duration, now time.Time) error {
	key, keyPEM, err := makeKey()
	if err != nil {
		return err
	}
	of := blank(name, life, now)
	of.DNSNames, of.IPAddresses = []string{name, "localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	if ip := net.ParseIP(name); ip != nil {
		of.DNSNames, of.IPAddresses = []string{"localhost"}, []net.IP{ip, net.IPv4(127, 0, 0, 1)}
	}
	certPEM, err := sign(of, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	dir := filepath.Join(a.dir, name)
	return errors.Join(
		writeWhole(filepath.Join(dir, authorityCert), a.pem), writeWhole(filepath.Join(dir, busKey), keyPEM),
		writeWhole(filepath.Join(dir, busCert), append(certPEM, a.pem...)),
	)
}

// renewed is the certificate of a name, with the authority's after it; where a third of its life is left, or less, it is made
// anew first, for the same key and names, for as long as it held before.
func (a *authority) renewed(name string, now time.Time) ([]byte, error) {
	path := filepath.Join(a.dir, name, busCert)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	old, err := readCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if now.Before(renewalOf(old)) {
		return data, nil
	}
	of := blank(name, lifeOf(old), now)
	of.DNSNames, of.IPAddresses = old.DNSNames, old.IPAddresses
	certPEM, err := sign(of, a.cert, old.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	data = append(certPEM, a.pem...)
	return data, writeWhole(path, data)
}

// lifeOf is how long a certificate holds after it was made.
func lifeOf(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(c.NotBefore) - clockSkew }

// renewalOf is when a certificate is to be renewed.
func renewalOf(c *x509.Certificate) time.Time { return c.NotAfter.Add(-lifeOf(c) / 3) }

// blank is a certificate that is both a server's and a client's, as members show theirs to each other.
func blank(name string, life time.Duration, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSkew), NotAfter: now.Add(life),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func sign(of, by *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, of, by, public, key) // with a random serial number
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func makeKey() (key *ecdsa.PrivateKey, text []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func readKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("found no key (PEM)")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	signer, is := key.(crypto.Signer)
	if !is {
		return nil, errors.New("found a key that cannot sign")
	}
	return signer, nil
}

// readCertificate reads the first certificate of a file.
func readCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("found no certificate (PEM)")
	}
	return x509.ParseCertificate(block.Bytes) //nolint:wrapcheck // says what is wrong
}

// writeWhole writes a file that only its owner can read, whole or not at all. It and the folders that are made for it belong to
// whom the folder above belongs to, as it may be root who writes and another user who runs the bus.
func writeWhole(path string, data []byte) error {
	dir := filepath.Dir(path)
	var made []string
	for above := dir; ; above = filepath.Dir(above) {
		if _, err := os.Stat(above); err == nil {
			break
		}
		made = append([]string{above}, made...)
	}
	for _, folder := range made {
		if err := errors.Join(os.Mkdir(folder, 0o700), ownfile.GiveAs(filepath.Dir(folder), folder)); err != nil {
			return err
		}
	}
	temp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err //nolint:wrapcheck // names the folder
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Close(), ownfile.GiveAs(dir, temp.Name()))
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}
