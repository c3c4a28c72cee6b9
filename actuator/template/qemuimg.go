package template

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// limits are what a tool may take that works on an image, whoever made that.
type limits struct {
	time     time.Duration // 0: any, as what it does is shown meanwhile and can be given up
	cpu      int           // seconds
	memory   int           // KiB of address space
	fileSize int64         // of 512 bytes: what it may write to a file
}

// lookLimits are those of a look at an image. A sound one of some TiB needs a part of them.
func lookLimits() limits {
	return limits{time: 2 * time.Minute, cpu: 60, memory: 4 << 20, fileSize: 2048}
}

// convertLimits are those of a conversion into a file of at most so many bytes.
func convertLimits(bytes uint64) limits {
	return limits{cpu: 4 * 3600, memory: 4 << 20, fileSize: int64(min(bytes/512+1, 1<<53))}
}

// sourcePath is the image that a tool is given open: no name is looked up again, and none is taken for a URL.
const sourcePath = "/proc/self/fd/3"

// look runs qemu-img on an image that may be hostile, with little memory and time, and as root without a network.
func look(ctx context.Context, file *os.File, args ...string) ([]byte, error) {
	return lookLimits().qemuImg(ctx, file, args...)
}

// qemuImg runs qemu-img within limits.
func (l limits) qemuImg(ctx context.Context, file *os.File, args ...string) ([]byte, error) {
	var out hosttool.Tail
	err := l.qemuImgTo(ctx, file, &out, args...)
	return out.Bytes(), err
}

// qemuImgTo is qemuImg with what it prints going to a writer.
func (l limits) qemuImgTo(ctx context.Context, file *os.File, out io.Writer, args ...string) error {
	if l.time > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, l.time, fmt.Errorf("it did not end within %s", l.time))
		defer cancel()
		ctx = limited
	}
	ulimits := fmt.Sprintf(
		`ulimit -c 0 && ulimit -t %d && ulimit -v %d && ulimit -f %d && exec "$@"`,
		l.cpu,
		l.memory,
		l.fileSize,
	)
	path, err := hosttool.Find("qemu-img")
	if err != nil {
		return err
	}
	return hosttool.RunWith(ctx, hosttool.Command{
		Name: "sh", Args: append([]string{"-c", ulimits, "qemu-img", path}, args...), Called: "qemu-img " + args[0],
		Stdout: out, Files: []*os.File{file}, NoNetwork: os.Geteuid() == 0,
	})
}

// percents reads how far qemu-img is, which it says as "    (12.34/100%)" with a carriage return after it.
type percents struct {
	tell func(percent float64)
	rest []byte
}

func (w *percents) Write(p []byte) (int, error) {
	const longest = 64
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\r')
		if i < 0 {
			break
		}
		number, _, _ := strings.Cut(strings.TrimLeft(string(w.rest[:i]), " ("), "/")
		if percent, err := strconv.ParseFloat(number, 64); err == nil && percent >= 0 && percent <= 100 {
			w.tell(percent)
		}
		w.rest = w.rest[i+1:]
	}
	w.rest = w.rest[max(0, len(w.rest)-longest):]
	return len(p), nil
}

// checkQcow2 has QEMU itself say whether an image is whole.
func checkQcow2(ctx context.Context, s *source) error {
	text, err := look(ctx, s.file, "info", "--output=json", "-f", "qcow2", sourcePath)
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	var info struct {
		Size    uint64 `json:"virtual-size"`
		Backing string `json:"backing-filename"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return fmt.Errorf("%s: qemu-img info: %w", s.path, err)
	}
	if info.Size != s.disk.capacity || info.Backing != "" {
		return fmt.Errorf("%s was changed while it was read; stop what writes to it, and try again", s.path)
	}
	text, err = look(ctx, s.file, "check", "--output=json", "-f", "qcow2", sourcePath)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != checkDamaged && exit.ExitCode() != checkLeaks) {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	var check struct {
		End         int64 `json:"image-end-offset"`
		Errors      int64 `json:"check-errors"`
		Corruptions int64 `json:"corruptions"`
	}
	if err := json.Unmarshal(text, &check); err != nil {
		return fmt.Errorf("%s: qemu-img check: %w", s.path, err)
	}
	if check.Corruptions > 0 || check.Errors > 0 {
		damaged := &formatError{
			reason: fmt.Sprintf("is cut off or damaged: qemu-img check finds %d errors in it", check.Corruptions+check.Errors),
		}
		return fmt.Errorf("%s %w; get it again, and compare its size (%d bytes) and checksum", s.path, damaged, s.size)
	}
	return nil
}

// Exit codes of qemu-img check. Leaked clusters take space and harm nobody.
const (
	checkDamaged = 2
	checkLeaks   = 3
)

// bootSectors are the first bytes of the disk in an image.
func bootSectors(ctx context.Context, s *source, dir string) ([]byte, error) {
	if s.disk.format == "raw" {
		return s.head, nil
	}
	out := filepath.Join(dir, "boot")
	_, err := look(ctx, s.file, "dd", "-U", "-O", "raw", "bs="+strconv.Itoa(headSize), "count=1",
		"if="+imageSpec(s.disk.format), "of="+out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	head, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("%s: read its boot sector: %w", s.path, err)
	}
	return head, nil
}

// convertedSize is at most how many bytes an image has as qcow2.
func convertedSize(ctx context.Context, s *source) (uint64, error) {
	return measured(ctx, s.file, s.path, imageSpec(s.disk.format))
}

// measured is at most how many bytes an image, which image tells to qemu-img, has as a qcow2 file that needs no other.
func measured(ctx context.Context, file *os.File, path string, image ...string) (uint64, error) {
	text, err := look(ctx, file, append([]string{"measure", "-U", "--output=json", "-O", "qcow2"}, image...)...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	var m struct {
		Required uint64 `json:"required"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return 0, fmt.Errorf("%s: qemu-img measure: %w", path, err)
	}
	return m.Required, nil
}

// Examine looks at the file of a template on this machine and tells what starts it, and what keeps VMs from starting from it at
// all; "" if nothing was found.
func Examine(ctx context.Context, path string) (by Firmware, reason string, err error) {
	s, err := openSource(path)
	var wrong *formatError
	if errors.As(err, &wrong) {
		return "", wrong.reason, nil
	}
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	switch s.disk.format {
	case "qcow2":
		if err := checkQcow2(ctx, s); errors.As(err, &wrong) {
			return "", wrong.reason, nil
		} else if err != nil {
			return "", "", err
		}
	case "raw":
	default:
		return "", "is a " + s.disk.kind() + ", which no import made", nil
	}
	dir, err := os.MkdirTemp("", "vmscaler-look-")
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	head, err := bootSectors(ctx, s, dir)
	if err != nil {
		return "", "", err
	}
	by, err = firmwareOf(head)
	if errors.As(err, &wrong) {
		return "", wrong.reason, nil
	}
	return by, "", err
}
