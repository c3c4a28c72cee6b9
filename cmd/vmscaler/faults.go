//go:build faults

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// With this tag, and only for tests, SIGUSR1 prints how many goroutines there are.
func init() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			fmt.Fprintf(os.Stderr, "goroutines: %d\n", runtime.NumGoroutine())
		}
	}()
}
