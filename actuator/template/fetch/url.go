package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
)

const (
	maxURL       = 2000 // characters
	maxRedirects = 10
)

// A refusal is what no further try changes.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// parse reads an address that a person gave.
func parse(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("the URL has %d characters, want at most %d", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the URL cannot be read: %w", errors.Unwrap(err)) // the error around it repeats a password
	}
	if u.User != nil {
		return nil, fmt.Errorf("the URL of %s has a user's name in it, want none, as the URL is kept with the template", u.Host)
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%s: found the scheme %q, want https or http", public(u), u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("%s: found no host", public(u))
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// public is an address for others to read: what follows the path can be a key, as in the addresses that object stores sign.
func public(u *url.URL) string {
	short := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.RawQuery != "" {
		return short.String() + "?..."
	}
	return short.String()
}

// Public is an address without what can be a key.
func Public(text string) string {
	if u, err := url.Parse(text); err == nil {
		return public(u)
	}
	return "a URL that cannot be read"
}

// IsURL reports whether a person means an address with a text, not a file.
func IsURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque == "") && len(u.Scheme) > 1
}

// BaseName is the name of the file at an address, by which lists of checksums know it; "" where it has none.
func BaseName(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if base := path.Base(u.Path); base != "." && base != "/" {
		return base
	}
	return ""
}

// safe reports what is wrong with trusting what comes from an address; checked is whether a digest is known by other means.
func safe(u *url.URL, checked, insecure bool) error {
	if u.Scheme == "https" || isLoopback(u.Hostname()) || checked || insecure {
		return nil
	}
	return refuse("%s: found http and no checksum, want https or a checksum, as anybody on the way can change it; "+
		"--insecure takes it nevertheless", public(u))
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// redirects follows some, none of which leads from https to http.
func redirects(checked, insecure bool) func(*http.Request, []*http.Request) error {
	return func(to *http.Request, via []*http.Request) error {
		from := via[len(via)-1].URL
		switch {
		case len(via) > maxRedirects:
			return refuse("found over %d redirects, the last to %s", maxRedirects, public(to.URL))
		case to.URL.Scheme != "https" && to.URL.Scheme != "http":
			return refuse("found a redirect to the scheme %q, want https or http", to.URL.Scheme)
		case from.Scheme == "https" && to.URL.Scheme == "http":
			return refuse("found a redirect from https to http (%s), want https", public(to.URL))
		}
		return safe(to.URL, checked, insecure)
	}
}
