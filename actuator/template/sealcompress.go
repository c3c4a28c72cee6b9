package template

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// compressed reports whether the volume, or what is below it, is stored compressed, which libvirt's copy would not keep. Where
// their files cannot be read here it is false.
func (s *sealed) compressed(ctx context.Context) (bool, error) {
	if s.desc.Target.Format.Type == "qcow2" {
		if some, err := hasCompressed(ctx, s.path()); some || err != nil {
			return some, err
		}
	}
	if s.desc.BackingStore == nil {
		return false, nil
	}
	return hasCompressed(ctx, s.desc.BackingStore.Path) // a template, which needs no other file
}

// hasCompressed reports whether a qcow2 file has compressed clusters.
func hasCompressed(ctx context.Context, path string) (bool, error) {
	f, err := os.Open(path)
	switch {
	case elsewhere(err):
		return false, nil
	case err != nil:
		return false, err
	}
	defer f.Close()
	text, err := look(ctx, f, "check", "--output=json", "-f", "qcow2", sourcePath)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	var check struct {
		Compressed int64 `json:"compressed-clusters"`
	}
	if err := json.Unmarshal(text, &check); err != nil {
		return false, fmt.Errorf("%s: qemu-img check: %w", path, err)
	}
	return check.Compressed > 0, nil
}

// compressTo makes a compressed copy in a temporary folder and uploads that.
func (s *sealed) compressTo(ctx context.Context, to Target, need uint64) (err error) {
	dir, err := os.MkdirTemp("", "vmscaler-seal-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	keep := uint64(0)
	if sameFileSystem(dir, poolFolder(s.pool)) {
		keep = to.keep() + need // both are there for a while
	}
	if err := folderFits(dir, need, keep); err != nil {
		return err
	}
	f, err := os.Open(s.path())
	if err != nil {
		return err
	}
	defer f.Close()
	s.step("copying, compressed")
	out := filepath.Join(dir, "disk.qcow2")
	const more = 64 * mibBytes // in case that it is measured otherwise than it is written
	if _, err := convertLimits(need+more).qemuImg(ctx, f, "convert", "-O", "qcow2", "-c", "-o", "compression_type=zstd",
		"-f", s.desc.Target.Format.Type, sourcePath, out); err != nil {
		return err
	}
	s.step("checking the copy")
	seen, err := s.examined(ctx, out)
	if err != nil {
		return err
	}
	final, err := openSourceAs(out, "the copy of volume "+s.desc.Name)
	if err != nil {
		return err
	}
	final.origin = &record{
		Source: s.source, SourceFormat: s.desc.Target.Format.Type, Imported: time.Now(), Firmware: seen.firmware, CloudInit: seen.cloud,
	}
	s.step("uploading")
	return errors.Join(uploadSource(ctx, s.conn, to, final, nil), final.close())
}
