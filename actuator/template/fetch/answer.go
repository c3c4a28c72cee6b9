package fetch

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// verdict is what a server's answer means for the bytes that are in the cache already.
type verdict int

const (
	takeAll   verdict = iota + 1 // the body is the whole file
	takeRest                     // the body continues what is there
	unchanged                    // the cached file is complete, and still the published one
	startOver                    // the cached part is useless: request the whole file again
	later                        // the server is overloaded or down: try again later
)

// have is what the cache has of a file, which decides what the request asks for.
type have struct {
	done  int64 // bytes of a partial file; 0: the whole file was requested
	whole bool  // the file is complete: the request asks whether it has changed
	size  int64 // of the complete file, in bytes; 0: unknown
}

var contentRange = regexp.MustCompile(`^bytes (\d+)-(\d+)/(\d+|\*)$`)

// judge interprets a response by its status and header. size is that of the complete file in bytes, 0 if the server does not
// send it.
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
	case status == http.StatusServiceUnavailable:
		return later, 0, fmt.Errorf("%w: the server answered %d %s, want 200", ErrBusy, status, http.StatusText(status))
	case status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported,
		status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return later, 0, fmt.Errorf("the server answered %d %s, want 200", status, http.StatusText(status))
	}
	return 0, 0, refuse("the server answered %d %s, want 200", status, http.StatusText(status))
}

// judgeRange accepts only a range that starts where the cached part ends and goes to the end of the file: anything else would
// leave a gap or an overlap.
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

// number parses digits; it returns -1 if the number does not fit.
func number(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// strong returns an ETag if it is a strong one, which guarantees identical bytes, and else "".
func strong(etag string) string {
	if strings.HasPrefix(etag, `"`) {
		return etag
	}
	return ""
}
