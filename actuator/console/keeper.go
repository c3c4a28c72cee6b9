package console

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// mostKept is how many boots are kept, each with at most 64 KiB of text and 2 MiB of a picture.
const mostKept = 50

// The parts of files' names.
const (
	textSuffix    = ".log"
	pictureSuffix = ".png"
)

// Keeper keeps what VMs printed while they booted, in files of a folder that only its owner may enter: the newest boots.
type Keeper struct {
	dir string
	log zerolog.Logger
	mu  sync.Mutex // of what writes
}

// NewKeeper keeps in a folder, which is made when it is needed. Only one process may keep in it.
func NewKeeper(dir string, log zerolog.Logger) *Keeper { return &Keeper{dir: dir, log: log} }

// Kept is what is kept of a boot.
type Kept struct {
	At      time.Time // its end
	Text    string
	Picture string // the path of a file, PNG; "": there is none
}

// Keep keeps the text, and the picture if there is one, of a boot that has ended. What goes wrong is logged.
func (k *Keeper) Keep(vm, uuid, text string, picture []byte) {
	if err := k.keep(vm, uuid, text, picture); err != nil {
		k.log.Warn().Err(err).Str("vm", vm).Msg("what it printed while it booted is not kept")
	}
}

func (k *Keeper) keep(vm, uuid, text string, picture []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	base := filepath.Join(k.dir, vm+"."+uuid)
	err := ownfile.Replace(base+textSuffix, []byte(text))
	if len(picture) > 0 {
		err = errors.Join(err, ownfile.Replace(base+pictureSuffix, picture))
	} else {
		_ = os.Remove(base + pictureSuffix) // of an earlier boot, as before new disks
	}
	return errors.Join(err, k.prune())
}

// Last is what is kept of the last boot of a VM of that name; false where nothing is.
func (k *Keeper) Last(vm string) (Kept, bool, error) {
	files, err := k.files()
	if err != nil {
		return Kept{}, false, err
	}
	for _, f := range files {
		if name, _, _ := strings.Cut(f.name, "."); name != vm {
			continue
		}
		text, err := os.ReadFile(filepath.Join(k.dir, f.name+textSuffix))
		if err != nil {
			return Kept{}, false, fmt.Errorf("read what is kept of %s: %w", vm, err)
		}
		kept := Kept{At: f.at, Text: string(text)}
		picture := filepath.Join(k.dir, f.name+pictureSuffix)
		if _, err := os.Stat(picture); err == nil {
			kept.Picture = picture
		}
		return kept, true, nil
	}
	return Kept{}, false, nil
}

type keptFile struct {
	name string // without its suffix
	at   time.Time
}

// files are the texts that are kept, the newest first.
func (k *Keeper) files() (all []keptFile, err error) {
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is kept of consoles: %w", err)
	}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), textSuffix)
		if !is {
			continue
		}
		if info, err := e.Info(); err == nil {
			all = append(all, keptFile{name, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b keptFile) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.name, b.name)) })
	return all, nil
}

// prune removes what is beyond the newest boots, and what a process that was killed left half written.
func (k *Keeper) prune() error {
	files, err := k.files()
	if err != nil {
		return err
	}
	if left, err := filepath.Glob(ownfile.Unfinished(filepath.Join(k.dir, "*"))); err == nil {
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
	for _, f := range files[min(mostKept, len(files)):] {
		for _, suffix := range []string{textSuffix, pictureSuffix} {
			if err := os.Remove(filepath.Join(k.dir, f.name+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
