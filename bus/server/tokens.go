package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
)

// TokenAge is for how long a token lets a host join.
const TokenAge = 10 * time.Minute

// Token is what the bus keeps of a token: not its secret, which is the seed of a key, but the public half, by which the holder of
// the seed is known.
type Token struct {
	Name    string    `json:"-"` // of the host that may join by it: the file's
	Key     string    `json:"public_key"`
	Expires time.Time `json:"expires"`
	Spent   bool      `json:"spent"` // it is kept until it expires, so that who comes again is told
}

func (t Token) check() error {
	if t.Expires.IsZero() || !nkeys.IsValidPublicUserKey(t.Key) {
		return fmt.Errorf("found expires %s and public_key %q, want a time and the public nkey of a user", t.Expires, t.Key)
	}
	return nil
}

// tokens are those that have not expired; files of others are deleted.
func tokens(stateDir string, now time.Time) (all []Token, bad error) {
	found, bad := readFolder(stateDir, tokensFolder, Token.check)
	for name, t := range found {
		if t.Name = name; now.After(t.Expires) {
			_ = os.Remove(agentFile(stateDir, tokensFolder, name)) // else again at the next look
			continue
		}
		all = append(all, t)
	}
	return all, bad
}

// Secret is what a token says to the one who is to join.
type Secret struct {
	Seed        []byte // of the key by which its holder is known
	Fingerprint []byte // SHA-256 of the certificate of the bus; nil where that has no TLS
	Expires     time.Time
}

const (
	tokenPrefix = "vmj1_" //nolint:gosec // it marks tokens, and is none
	seedBytes   = 32
	tokenBytes  = 8 + sha256.Size + seedBytes + crc32.Size
)

// AddToken makes a token for a host of a name, which takes the place of an older one, and returns it with the time at which it
// expires. A bus that runs knows it within a second. fingerprint is of the certificate of the bus; nil: it has no TLS.
func AddToken(stateDir, name string, fingerprint []byte, now time.Time) (token string, expires time.Time, err error) {
	if err := CheckAgentName(name); err != nil {
		return "", expires, err
	}
	known, _ := Agents(stateDir)
	for _, a := range known {
		if a.Name == name {
			return "", expires, fmt.Errorf("the name %s is taken: the host %s has it; `vmscaler host remove %s` frees it", name,
				a.HostID, name)
		}
	}
	raw := make([]byte, seedBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", expires, fmt.Errorf("token: %w", err)
	}
	key, err := keyOf(raw)
	if err != nil {
		return "", expires, err
	}
	defer key.Wipe()
	public, err := key.PublicKey()
	if err != nil {
		return "", expires, fmt.Errorf("token: %w", err)
	}
	expires = now.Add(TokenAge).UTC().Truncate(time.Second)
	if err := writeState(agentFile(stateDir, tokensFolder, name), Token{Key: public, Expires: expires}); err != nil {
		return "", expires, fmt.Errorf("token: %w", err)
	}
	return encodeToken(raw, fingerprint, expires), expires, nil
}

func keyOf(raw []byte) (nkeys.KeyPair, error) {
	seed, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, raw)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return nkeys.FromSeed(seed) //nolint:wrapcheck // it is one
}

// encodeToken is expiry, fingerprint (zeros: none), seed, and a checksum of all that, in letters that no shell cares about.
func encodeToken(raw, fingerprint []byte, expires time.Time) string {
	data := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix())) //nolint:gosec // after 1970
	data = append(data, make([]byte, sha256.Size)...)
	copy(data[8:], fingerprint)
	data = append(data, raw...)
	data = binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(data)
}

// ReadToken reads a token as the one who is to join has it.
func ReadToken(token string) (Secret, error) {
	text, is := strings.CutPrefix(strings.TrimSpace(token), tokenPrefix)
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !is || err != nil || len(data) != tokenBytes ||
		crc32.ChecksumIEEE(data[:tokenBytes-crc32.Size]) != binary.BigEndian.Uint32(data[tokenBytes-crc32.Size:]) {
		return Secret{}, errors.New("it is no token of `vmscaler host add`, or a part of it is missing: want " + tokenPrefix +
			" and what follows it, whole")
	}
	seed, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, data[8+sha256.Size:8+sha256.Size+seedBytes])
	if err != nil {
		return Secret{}, fmt.Errorf("token: %w", err)
	}
	s := Secret{Seed: seed, Expires: time.Unix(int64(binary.BigEndian.Uint64(data)), 0)} //nolint:gosec // it has a checksum
	if fingerprint := data[8 : 8+sha256.Size]; string(fingerprint) != string(make([]byte, sha256.Size)) {
		s.Fingerprint = fingerprint
	}
	return s, nil
}

// joinPermissions are what the holder of a token may do: ask to join, as this holder.
func joinPermissions(key string) bus.Permissions {
	return bus.Permissions{Publish: []string{bus.JoinSubject(key)}, Subscribe: []string{bus.JoinInbox(key) + ".>"}}
}

// redeem lets a host join by a token, and spends that. It is the state folder alone that says who may.
func redeem(stateDir, key string, j bus.Join, now time.Time) bus.Joined {
	refuse := func(why bus.JoinRefusal, text string) bus.Joined {
		return bus.Joined{V: bus.Version, Refused: why, Text: text}
	}
	found, _ := readFolder(stateDir, tokensFolder, Token.check)
	for name, t := range found {
		if t.Key != key {
			continue
		}
		switch {
		case t.Spent:
			return refuse(bus.JoinSpent, "the token was used before")
		case now.After(t.Expires):
			return refuse(bus.JoinExpired, "the token has expired")
		}
		t.Spent = true
		if err := AddAgent(stateDir, Agent{Name: name, HostID: j.HostID, Key: j.Key, Added: now.UTC()}); err != nil {
			return refuse(bus.JoinTaken, err.Error())
		}
		if err := writeState(agentFile(stateDir, tokensFolder, name), t); err != nil {
			_, undo := RemoveAgent(stateDir, name)
			return refuse(bus.JoinFailed, errors.Join(err, undo).Error())
		}
		return bus.Joined{V: bus.Version, Name: name}
	}
	return refuse(bus.JoinExpired, "the token has expired, or another one has taken its place")
}
