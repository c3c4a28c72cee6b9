package ownfile

import (
	"fmt"
	"os"
	"syscall"
)

// GiveAs gives what is at a path to whom a folder belongs: root may write there for another user, whose service reads it. To
// others than root nothing is given, as they own what they write.
func GiveAs(folder, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid == 0 {
		return nil
	}
	return os.Lchown(path, int(stat.Uid), int(stat.Gid)) //nolint:wrapcheck // names the file
}
