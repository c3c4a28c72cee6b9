package vm

// The steps of making and of removing a VM. Between any two of them the process may be cut off; what it leaves is put
// right by the next start. A test that is built with the tag "faults" ends the process at each of them.
const (
	stepDefined  = "launch.defined"  // the domain is defined, its volume is not there
	stepCloned   = "launch.cloned"   // its volume is there
	stepDisked   = "launch.disked"   // its further disks are there
	stepSeeded   = "launch.seeded"   // its seed is there, and written
	stepMarked   = "launch.marked"   // its phase is launching
	stepStarted  = "launch.started"  // it runs
	stepBooted   = "launch.booted"   // it is ready, and not marked so
	stepReady    = "launch.ready"    // it is marked so
	stepChosen   = "remove.chosen"   // nothing is done yet
	stepDraining = "remove.draining" // its phase is draining
	stepOff      = "remove.off"      // its guest is off, or had its time
	stepStopping = "remove.stopping" // its phase is stopping
	stepKilled   = "remove.killed"   // its domain is off for sure
	stepDeleted  = "remove.deleted"  // its volume is gone
	stepRemoved  = "remove.removed"  // its definition is gone
	// A reimage goes through those of a removal up to killed, and then through those of a launch.
	stepReimaging = "reimage.begun"    // its metadata says so
	stepStripped  = "reimage.stripped" // it is off, and its volumes are gone
	// A restart goes through those of a removal up to killed, and through that of a launch from started on.
	stepRestarting = "restart.begun"     // its metadata says so
	stepRedefined  = "restart.redefined" // it is off, with its new definition

	stepWarm   = "warm.marked"     // it has booted, and its metadata says that it is warm; it still runs
	stepParked = "warm.parked"     // it stands still
	stepReused = "warm.returned"   // it has left service, and its metadata says that it is warm; it still runs
	stepHanded = "handover.marked" // its metadata says that it is launched, from the warm pool; it stands still
	stepWoken  = "handover.woken"  // it runs
	// One whose memory was saved goes through this before that.
	stepRestored = "handover.restored" // it runs, with the metadata of when it was saved

	stepLaidDown  = "standby.laid-down" // it has left service, and rests if it is to, and is not marked so
	stepStandby   = "standby.marked"    // it has left service, and its metadata says so
	stepReturning = "standby.returning" // its metadata says that it is launched, as it is to serve again
	stepReleased  = "detach.released"   // no record says that its disks may be deleted
	stepDisowned  = "detach.disowned"   // nothing of ours is in its metadata
	stepClaimed   = "attach.claimed"    // who wants it is in its metadata, and it is no VM yet
	stepAttached  = "attach.attached"   // it is one, and has no record yet
)

// RestartSteps are those of a restart with the same disks.
func RestartSteps() []string { return []string{stepRestarting, stepRedefined} }

// OrderSteps are those of what a person wants of a VM.
func OrderSteps() []string {
	return []string{stepLaidDown, stepStandby, stepReturning, stepReleased, stepDisowned, stepClaimed, stepAttached}
}

// WarmSteps are those of a warm pool.
func WarmSteps() []string {
	return []string{stepWarm, stepParked, stepHanded, stepRestored, stepWoken, stepReused}
}

// Steps are those of making and removing a VM, in their order.
func Steps() []string {
	return []string{
		stepDefined, stepCloned, stepDisked, stepSeeded, stepMarked, stepStarted, stepBooted, stepReady,
		stepChosen, stepDraining, stepOff, stepStopping, stepKilled, stepDeleted, stepRemoved,
		stepReimaging, stepStripped,
	}
}
