package actuator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// keptTerm is what a host's disk has of the deciders that it has acted for. The zero value is that it has acted for none.
type keptTerm struct {
	V         int    `json:"v"`
	ClusterID string `json:"cluster_id,omitempty"` // "": none had one
	Term      int64  `json:"term"`                 // the highest by which it has acted
}

const (
	keptTermVersion = 1
	longestState    = 64 << 10 // bytes of a file; far more than any has
)

// refusal is why a decision is not acted on by what the disk has; nil: it may be. A kept term in the future is no reason: it came
// of a clock that was wrong, this host's, which has been set back since.
func (k keptTerm) refusal(d bus.Decision, file string, now time.Time) error {
	switch {
	case d.ClusterID != "" && k.ClusterID != "" && d.ClusterID != k.ClusterID:
		return &otherClusterError{theirs: d.ClusterID, ours: k.ClusterID, file: file}
	case d.Term < k.Term && bus.Believable(k.Term, now):
		return fmt.Errorf("its term %d is over: this host has acted by %d, of a decider that began to lead later; "+
			"where that one's clock was wrong, %s, and it is followed", d.Term, k.Term, remedy(file))
	}
	return nil
}

// remedy is what has the host forget what it has kept.
func remedy(file string) string {
	if file == "" {
		return "restart this actuator"
	}
	return "remove " + file + " here"
}

// after is what is kept once a decision was taken.
func (k keptTerm) after(d bus.Decision, now time.Time) keptTerm {
	k.V = keptTermVersion
	if d.ClusterID != "" {
		k.ClusterID = d.ClusterID
	}
	if bus.Believable(d.Term, now) && (d.Term > k.Term || !bus.Believable(k.Term, now)) {
		k.Term = d.Term
	}
	return k
}

// otherClusterError is that a decision is of another cluster than the one that the host belongs to.
type otherClusterError struct{ theirs, ours, file string }

func (e *otherClusterError) Error() string {
	return fmt.Sprintf("it is of cluster %s, and this host belongs to cluster %s; if it was moved, %s, and %s is "+
		"followed, else connect it, or that decider, to its own bus", e.theirs, e.ours, remedy(e.file), e.theirs)
}

// termKeeper keeps it in a file, which a person may remove at any time to have the host follow whoever decides. Without a file it
// lasts as long as the process. It is owned by one goroutine.
type termKeeper struct {
	file   string // "": none
	kept   keptTerm
	onDisk bool   // the file has it
	said   string // what kept it from being written last
	log    zerolog.Logger
}

// load reads the file. One that is missing or cannot be used is said, and the host begins anew: what it hears first it takes, and
// removes nothing on a first message's word.
func (k *termKeeper) load() {
	if k.file == "" {
		return
	}
	kept, err := readKeptTerm(k.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k.log.Info().Str("file", k.file).Msg("no decider was followed on this host yet: whichever is heard first is")
	case err != nil:
		k.log.Warn().Err(err).Msg("which decider was followed on this host cannot be read: whichever is heard first is")
	default:
		k.kept, k.onDisk = kept, true
	}
}

// refuse is why a decision is not acted on; nil: it may be.
func (k *termKeeper) refuse(d bus.Decision, now time.Time) error {
	err := k.kept.refusal(d, k.file, now)
	if err == nil || !k.onDisk {
		return err
	}
	if _, gone := os.Lstat(k.file); !errors.Is(gone, fs.ErrNotExist) {
		return err
	}
	k.log.Warn().Str("cluster_id", k.kept.ClusterID).Int64("term", k.kept.Term).
		Msgf("%s was removed: whichever decider is heard first is followed", k.file)
	k.kept, k.onDisk = keptTerm{}, false
	return nil
}

// took keeps what a decision that was taken has. It is on the disk before anything is done by that decision, unless it cannot be
// written: that is said, tried again with the next decision, and stops nothing.
func (k *termKeeper) took(d bus.Decision, now time.Time) {
	next := k.kept.after(d, now)
	if same := next == k.kept; same && (k.onDisk || k.file == "") {
		return
	}
	k.kept = next
	if k.file == "" {
		return
	}
	err := k.save()
	switch {
	case err == nil:
		k.onDisk, k.said = true, ""
	case err.Error() != k.said:
		k.said = err.Error()
		k.log.Warn().Err(err).Msg("which decider is followed is not kept over a restart of this actuator")
	}
}

func (k *termKeeper) save() error {
	data, err := json.Marshal(k.kept)
	if err == nil {
		err = ownfile.Replace(k.file, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep the term: %w", err)
	}
	return nil
}

// readState reads a small file of JSON that this program has written. It follows no link, and waits for no FIFO.
func readState(file string, content any) error {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, longestState))
	if err == nil {
		err = json.Unmarshal(data, content)
	}
	return err //nolint:wrapcheck // the caller does
}

// readKeptTerm reads such a file, and refuses what this program did not write.
func readKeptTerm(file string) (keptTerm, error) {
	var k keptTerm
	err := readState(file, &k)
	switch {
	case err != nil:
	case k.V != keptTermVersion:
		err = fmt.Errorf("version: found %d, want %d", k.V, keptTermVersion)
	case k.Term < 0:
		err = fmt.Errorf("term: found %d, want 0 or more", k.Term)
	case k.ClusterID != "":
		err = bus.CheckClusterID(k.ClusterID)
	}
	if err != nil {
		return keptTerm{}, fmt.Errorf("read the term in %s: %w", file, err)
	}
	return k, nil
}
