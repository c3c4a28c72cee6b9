package install

import (
	"fmt"
	"os"
)

// CheckMedium refuses a file that is no ISO 9660 image.
func CheckMedium(path string) error {
	const at, magic = 32769, "CD001"
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s: found no regular file, want an ISO 9660 image", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(magic))
	if _, err := f.ReadAt(head, at); err != nil || string(head) != magic {
		return fmt.Errorf("%s: found something else, want an ISO 9660 image", path)
	}
	return nil
}
