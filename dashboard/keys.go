package dashboard

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// key is what was typed: a character, or one of those below.
type key rune

const (
	keyUp key = -1 - iota
	keyDown
	keyLeft
	keyRight
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
	keyEnter
	keyBackspace
	keyClear // Ctrl-U
	keyEscape
)

const escape = 0x1b

// escapeWait is how long the rest of a sequence may take after its escape character, else it is the key Esc. Over a slow line
// the two may come in different packets.
const escapeWait = 50 * time.Millisecond

// decode takes the keys off what was read. rest is the beginning of a sequence, or of a character, whose end has not come yet.
func decode(in []byte) (keys []key, rest []byte) {
	for len(in) > 0 {
		if in[0] == escape {
			k, n := decodeEscape(in)
			if n == 0 {
				return keys, in
			}
			if k != 0 {
				keys = append(keys, k)
			}
			in = in[n:]
			continue
		}
		if !utf8.FullRune(in) {
			return keys, in
		}
		r, n := utf8.DecodeRune(in)
		if k := plainKey(r); k != 0 {
			keys = append(keys, k)
		}
		in = in[n:]
	}
	return keys, nil
}

// plainKey is the key of a character; 0 is none.
func plainKey(r rune) key {
	switch r {
	case '\r', '\n':
		return keyEnter
	case 0x7f, 0x08:
		return keyBackspace
	case 0x15:
		return keyClear
	case 0x02:
		return keyPageUp
	case 0x06:
		return keyPageDown
	case utf8.RuneError:
		return 0
	}
	if unicode.IsControl(r) {
		return 0
	}
	return key(r)
}

// decodeEscape is the key of the sequence at the beginning of in, and its length: 0 where it has no end yet. The key is 0 for
// a sequence that means nothing here, such as Alt with a character.
func decodeEscape(in []byte) (k key, length int) {
	if len(in) == 1 {
		return 0, 0
	}
	switch in[1] {
	case escape:
		return keyEscape, 1
	case '[', 'O':
	default:
		return 0, 2
	}
	for i := 2; i < len(in); i++ {
		if c := in[i]; c >= 0x40 && c <= 0x7e {
			return sequence(string(in[2 : i+1])), i + 1
		}
	}
	if len(in) > 16 { // no key is that long
		return 0, len(in)
	}
	return 0, 0
}

// sequence is the key of a sequence without its beginning; 0 is none that has a meaning.
func sequence(text string) key {
	switch text {
	case "A":
		return keyUp
	case "B":
		return keyDown
	case "C":
		return keyRight
	case "D":
		return keyLeft
	case "H", "1~", "7~":
		return keyHome
	case "F", "4~", "8~":
		return keyEnd
	case "M":
		return keyEnter
	case "5~":
		return keyPageUp
	case "6~":
		return keyPageDown
	case "3~":
		return keyBackspace
	}
	return 0
}

// readKeys delivers what is typed until stop is called, which waits for it. A read from a terminal cannot be
// interrupted, so it is only made once poll says that there is something to read.
func readKeys(in *os.File) (keys <-chan key, stop func(), err error) {
	if in == nil || !term.IsTerminal(int(in.Fd())) {
		return nil, func() {}, nil
	}
	wakeRead, wakeWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("read keys: %w", err)
	}
	out := make(chan key, 64)
	var wg sync.WaitGroup
	wg.Go(func() { pumpKeys(int(in.Fd()), int(wakeRead.Fd()), out) })
	return out, func() {
		_ = wakeWrite.Close() // wakes the poll; a pipe's end closes without an error
		wg.Wait()
		_ = wakeRead.Close()
	}, nil
}

// pumpKeys reads keys from a terminal until wake is closed, or the terminal is gone: its hang-up signal ends the process, not
// we.
func pumpKeys(terminal, wake int, out chan<- key) {
	fds := []unix.PollFd{{Fd: int32(terminal), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	buf := make([]byte, 64)
	var pending []byte
	for {
		wait := -1
		if len(pending) > 0 {
			wait = int(escapeWait.Milliseconds())
		}
		ready, err := unix.Poll(fds, wait)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil, fds[1].Revents != 0:
			return
		case ready == 0: // nothing has come of the rest
			if len(pending) == 1 && pending[0] == escape {
				deliver(out, []key{keyEscape})
			}
			pending = nil
			continue
		}
		n, err := unix.Read(terminal, buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		var typed []key
		typed, pending = decode(append(pending, buf[:n]...))
		deliver(out, typed)
	}
}

func deliver(out chan<- key, keys []key) {
	for _, k := range keys {
		select {
		case out <- k:
		default: // nobody types that fast
		}
	}
}
