package app

import (
	"path/filepath"

	"github.com/vmscaler/vmscaler/actuator/template/staging"
)

// StagingDir is the actuator's own folder in a state folder, into which templates come from other hosts; "" is none.
func StagingDir(stateDir string) string {
	if stateDir == "" {
		return ""
	}
	return filepath.Join(stateDir, "templates")
}

// stager looks after the templates of an actuator's host.
func stager(o Options, instance string) (*staging.Stager, error) {
	listen, err := o.Config.TemplateExchange()
	if err != nil {
		return nil, err
	}
	dir := StagingDir(o.StateDir)
	if dir == "" { // there is nowhere for them to come to
		listen = ""
	}
	return staging.New(staging.Config{
		Listen: listen, Dir: dir, Instance: instance,
		Pool: staging.LibvirtPool{Name: o.Config.Pool, KeepFreeMiB: o.Config.Host.PoolReserveMiB, Dial: claiming(o.Dial, o.Claim)},
	}, o.Log)
}
