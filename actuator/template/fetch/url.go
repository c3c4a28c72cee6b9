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

// A refusal is an error that retrying does not change.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// parse parses a URL that a user gave. Errors leave out what can be a password.
func parse(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("the URL has %d characters, want at most %d", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the URL cannot be read: %w", errors.Unwrap(err)) // the wrapping error repeats the URL with its password
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

// public returns a URL that can be shown: without user and query, which can be a key, as in URLs that object stores sign.
func public(u *url.URL) string {
	short := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.RawQuery != "" {
		return short.String() + "?..."
	}
	return short.String()
}

// Public returns a URL without the parts that can be secret.
func Public(text string) string {
	if u, err := url.Parse(text); err == nil {
		return public(u)
	}
	return "a URL that cannot be read"
}

// IsURL reports whether a text is meant as a URL, and not as a file's path.
func IsURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque == "") && len(u.Scheme) > 1
}

// BaseName returns the file name at the end of a URL, which checksum lists use; "" if there is none.
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

// safe returns an error if content from the URL cannot be trusted: http without a digest, which anybody on the way can change.
// checked reports whether a digest is known by other means.
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

// redirects limits redirects, and refuses those that lead from https to http.
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
