package fetch

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"https://example.org/web.qcow2":                      "",
		"http://127.0.0.1:80/x":                              "",
		"ftp://example.org/y?key=secret":                     `ftp://example.org/y?...: found the scheme "ftp"`,
		"ftp://example.org/x":                                `scheme "ftp", want https or http`,
		"https:///x":                                         "no host",
		"https://joe:secret@example.org/x":                   "a user's name",
		"https://exa mple/x":                                 "cannot be read",
		"https://example.org/" + strings.Repeat("x", maxURL): "want at most 2000",
	} {
		u, err := parse(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", text, u, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("a password is repeated: %v", err)
		}
	}
	for text, want := range map[string]bool{
		"https://example.org/x": true, "http:///x": true, "file:///x": true, "ftp://x/y": true,
		"disk.qcow2": false, "/a/disk.qcow2": false, "./disk": false, "debian-12": false, "catalog:debian-12": false, "": false,
	} {
		if got := IsURL(text); got != want {
			t.Errorf("%q is a URL: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{"https://x/a/b.img?c=d": "b.img", "https://x": "", "https://x/": ""} {
		if got := BaseName(text); got != want {
			t.Errorf("the file of %s is %q, want %q", text, got, want)
		}
	}
}

// Without a checksum nobody on the way can change what is fetched, unless a person says that it does not matter.
func TestSafe(t *testing.T) {
	for _, tt := range []struct {
		url               string
		checked, insecure bool
		ok                bool
	}{
		{url: "https://example.org/x", ok: true},
		{url: "http://example.org/x"},
		{url: "http://example.org/x", checked: true, ok: true},
		{url: "http://example.org/x", insecure: true, ok: true},
		{url: "http://localhost:8000/x", ok: true},
		{url: "http://127.0.0.9/x", ok: true},
		{url: "http://[::1]/x", ok: true},
		{url: "http://127.0.0.1.example.org/x"},
		{url: "http://10.0.0.1/x"},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := safe(u, tt.checked, tt.insecure); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		checked  bool
		want     string
	}{
		{"https://a/x", "https://b/x", false, ""},
		{"http://localhost/x", "https://b/x", false, ""},
		{"https://a/x", "http://b/x", true, "from https to http"},
		{"https://a/x", "http://localhost/x", true, "from https to http"},
		{"http://a/x", "http://b/x", true, ""},
		{"http://localhost/x", "http://b/x", false, "no checksum"},
		{"https://a/x", "file:///etc/passwd", true, `scheme "file"`},
	} {
		request := func(text string) *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, text, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		err := redirects(tt.checked, false)(request(tt.to), []*http.Request{request(tt.from)})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestJudge(t *testing.T) {
	part := have{done: 100, size: 1000}
	for _, tt := range []struct {
		name   string
		status int
		ranges string
		length int64
		have   have
		want   verdict
		size   int64
	}{
		{"all", 200, "", 1000, have{}, takeAll, 1000},
		{"all, of unknown size", 200, "", -1, have{}, takeAll, 0},
		{"all, though a part was asked for", 200, "", 1000, part, takeAll, 1000},
		{"the rest", 206, "bytes 100-999/1000", 900, part, takeRest, 1000},
		{"the rest, of unknown length", 206, "bytes 100-999/1000", -1, part, takeRest, 1000},
		{"the rest, of unknown size", 206, "bytes 100-999/*", 900, part, takeRest, 1000},
		{"another part", 206, "bytes 99-999/1000", 901, part, startOver, 0},
		{"not up to the end", 206, "bytes 100-899/1000", 800, part, startOver, 0},
		{"of another size", 206, "bytes 100-1999/2000", 1900, part, startOver, 0},
		{"whose length is another", 206, "bytes 100-999/1000", 5, part, startOver, 0},
		{"no range", 206, "", 900, part, startOver, 0},
		{"a range beyond all numbers", 206, "bytes 100-99999999999999999999/99999999999999999999", -1, part, startOver, 0},
		{"not satisfiable", 416, "", 0, part, startOver, 0},
		{"unchanged", 304, "", 0, have{whole: true, size: 5}, unchanged, 5},
	} {
		v, size, err := judge(tt.status, http.Header{"Content-Range": {tt.ranges}}, tt.length, tt.have)
		if v != tt.want || size != tt.size || err != nil {
			t.Errorf("%s: %d, %d, %v; want %d, %d", tt.name, v, size, err, tt.want, tt.size)
		}
	}
	for status, final := range map[int]bool{
		404: true, 403: true, 401: true, 206: true, 304: true, 416: true, 204: true, 501: true,
		500: false, 503: false, 429: false, 408: false,
	} {
		v, _, err := judge(status, http.Header{}, 0, have{})
		if _, is := err.(refusal); err == nil || is != final || !final && v != later { //nolint:errorlint // just this one
			t.Errorf("%d: %d, %v", status, v, err)
		}
	}
}
