package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// progress shows how far a transfer is: on a terminal as it goes, else only its end.
func progress(out io.Writer, what string) func(done, total int64) {
	f, ok := bare(out).(*os.File)
	live := ok && term.IsTerminal(int(f.Fd()))
	last := int64(-1)
	return func(done, total int64) {
		if total <= 0 {
			return
		}
		switch percent := 100 * done / total; {
		case live && percent != last:
			last = percent
			fmt.Fprintf(f, "\r%s %3d %% of %d MiB", what, percent, total>>20)
			if done == total {
				fmt.Fprintln(out)
			}
		case !live && done == total && last != 100:
			last = 100
			fmt.Fprintf(out, "%s %d MiB\n", what, total>>20)
		}
	}
}
