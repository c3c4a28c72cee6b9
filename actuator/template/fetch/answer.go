package fetch

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// verdict is what a server's answer means for what there is of a file.
type verdict int

const (
	takeAll   verdict = iota + 1 // the body is the whole file
	takeRest                     // the body continues what is there
	unchanged                    // what is there is whole, and still the one that is published
	startOver                    // what is there is of no use: ask again for all of it
	later                        // the server cannot do it now
)

// have is what there is of a file, and so what was asked for.
type have struct {
	done  int64 // bytes of a part; 0: all was asked for
	whole bool  // a whole one is there: it was asked whether it has changed
	size  int64 // bytes that the whole file has; 0: unknown
}

var contentRange = regexp.MustCompile(`^bytes (\d+)-(\d+)/(\d+|\*)$`)

// judge reads an answer without its body. size is how many bytes the whole file has, 0 if the server does not tell.
func judge(status int, header http.Header, length int64, h have) (v verdict, size int64, err error) {
	switch {
	case status == http.StatusOK:
		return takeAll, max(length, 0), nil
	case status == http.StatusPartialContent && h.done > 0:
		return judgeRange(header.Get("Content-Range"), length, h)
	case status == http.StatusNotModified && h.whole:
		return unchanged, h.size, nil
	case status == http.StatusRequestedRangeNotSatisfiable && h.done > 0:
		return startOver, 0, nil
	case status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported,
		status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return later, 0, fmt.Errorf("the server answered %d %s, want 200", status, http.StatusText(status))
	}
	return 0, 0, refuse("the server answered %d %s, want 200", status, http.StatusText(status))
}

// judgeRange takes what follows on what is there, up to the end, and nothing else.
func judgeRange(value string, length int64, h have) (verdict, int64, error) {
	m := contentRange.FindStringSubmatch(strings.TrimSpace(value))
	if m == nil {
		return startOver, 0, nil
	}
	first, last, size := number(m[1]), number(m[2]), number(m[3])
	if m[3] == "*" {
		size = last + 1
	}
	if first != h.done || last < first || last != size-1 || length >= 0 && length != last-first+1 || h.size > 0 && size != h.size {
		return startOver, 0, nil
	}
	return takeRest, size, nil
}

// number reads digits; -1 if they are beyond all sizes.
func number(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// strong is an ETag that promises the same bytes; "" for another.
func strong(etag string) string {
	if strings.HasPrefix(etag, `"`) {
		return etag
	}
	return ""
}
