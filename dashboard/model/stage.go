package model

import (
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

type stageKey struct{ stage, instance string }

// Stage is what is known of one instance of a stage.
type Stage struct {
	health   bus.Health
	received time.Time
	signs    int // of life
}

// Health is its last sign of life.
func (s *Stage) Health() bus.Health { return s.health }

// Silence is for how long it has given no sign of life.
func (s *Stage) Silence(now time.Time) time.Duration { return now.Sub(s.received) }

// Silent reports whether that is too long.
func (s *Stage) Silent(now time.Time) bool { return s.Silence(now) > silentAfter }

// replaced reports whether another process of the same stage on the same host gave a sign of life: it was started again.
func (m *Model) replaced(old stageKey, now time.Time) bool {
	for key, s := range m.stages {
		if key.stage == old.stage && hostOf(key.instance) == hostOf(old.instance) && !s.Silent(now) {
			return true
		}
	}
	return false
}

// hostOf is the host of an instance, which is named <host>-<process id>.
func hostOf(instance string) string {
	if i := strings.LastIndexByte(instance, '-'); i >= 0 {
		return instance[:i]
	}
	return instance
}

// stageRank puts the stages in the order of the pipeline.
func stageRank(name string) int {
	switch name {
	case "collector":
		return 0
	case "decider":
		return 1
	case "actuator":
		return 2
	default:
		return 3
	}
}
