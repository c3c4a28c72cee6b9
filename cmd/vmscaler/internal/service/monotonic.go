package service

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is the time in µs by which the manager tells a reload from the one before.
func monotonic() (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, fmt.Errorf("read the monotonic clock: %w", err)
	}
	return now.Nano() / 1000, nil
}
