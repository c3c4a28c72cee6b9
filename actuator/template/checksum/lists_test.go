package checksum

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	a, b := strings.Repeat("0a", 32), strings.Repeat("0b", 32)
	long, md5 := strings.Repeat("0c", 64), strings.Repeat("0d", 16)
	signed := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSHA256 (web.img) = " + a +
		"\n-----BEGIN PGP SIGNATURE-----\nabc=\n"
	both := Digests{SHA256: a, SHA512: long}
	for name, tt := range map[string]struct {
		list string
		want Digests
		err  string
	}{
		"SHA256SUMS":             {list: b + "  other.img\n" + a + "  web.img\n", want: Digests{SHA256: a}},
		"binary mode":            {list: a + " *web.img\r\n", want: Digests{SHA256: a}},
		"with a folder":          {list: a + "  ./images/web.img\n", want: Digests{SHA256: a}},
		"in capitals":            {list: strings.ToUpper(a) + "  web.img\n", want: Digests{SHA256: a}},
		"SHA512SUMS":             {list: long + "  web.img\n", want: Digests{SHA512: long}},
		"several kinds":          {list: md5 + "  web.img\n" + a + "  web.img\n" + long + "  web.img\n", want: both},
		"BSD, as of Fedora":      {list: "# web.img: 5 bytes\nSHA256 (web.img) = " + a + "\n", want: Digests{SHA256: a}},
		"BSD, both":              {list: "SHA512 (web.img) = " + long + "\nSHA256 (web.img) = " + a, want: both},
		"signed":                 {list: signed, want: Digests{SHA256: a}},
		"one digest alone":       {list: long + "\n", want: Digests{SHA512: long}},
		"twice the same":         {list: a + "  web.img\nSHA256 (web.img) = " + a, want: Digests{SHA256: a}},
		"two for one":            {list: a + "  web.img\n" + b + "  web.img\n", err: "found two SHA-256 for one file"},
		"of others":              {list: a + "  other.img\n", err: `of "web.img"; it has those of other.img`},
		"of a longer name":       {list: a + "  web.img.sig\n" + a + "  x-web.img\n", err: "web.img.sig"},
		"two digests alone":      {list: a + "\n" + b + "\n", err: "none at all"},
		"MD5 alone":              {list: md5 + "  web.img\n", err: "none at all"},
		"a page that says sorry": {list: "<html>404</html>", err: "none at all"},
		"nothing":                {err: "none at all"},
		"BSD of a wrong length":  {list: "SHA256 (web.img) = 0a\n", err: "none at all"},
	} {
		got, err := Find([]byte(tt.list), "web.img", "SUMS")
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %+v, %v; want %+v, %q", name, got, err, tt.want, tt.err)
		}
	}
}

func TestParse(t *testing.T) {
	a, long := strings.Repeat("0A", 32), strings.Repeat("0c", 64)
	for _, tt := range []struct {
		digits string
		bits   int
		ok     bool
	}{{a, 256, true}, {long, 512, true}, {long, 256, false}, {a, 512, false}, {"xyz", 256, false}, {"", 256, false}} {
		if d, err := Parse(tt.digits, tt.bits); (err == nil) != tt.ok || tt.ok && !d.Any() {
			t.Errorf("%+v: %+v, %v", tt, d, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte("SHA256 (web.img) = 0a\n\\0a  web.img"), "web.img")
	f.Fuzz(func(_ *testing.T, list []byte, name string) { _, _ = Find(list, name, "SUMS") })
}
