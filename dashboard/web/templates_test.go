package web

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

// Templates are asked for once for all who want them within half a minute, and where nobody knows them it is said.
func TestListTemplates(t *testing.T) {
	if code, body := start(t, Config{}).get(apiPath + "/templates"); code != 503 || !strings.Contains(body, "reaches no libvirt") {
		t.Errorf("without libvirt: %d %s", code, body)
	}
	var later, asked atomic.Int64
	var fails atomic.Bool
	s := start(t, Config{
		Now: func() time.Time { return modeltest.At(float64(later.Load())) },
		Templates: func(context.Context) ([]TemplateState, error) {
			asked.Add(1)
			if fails.Load() {
				return nil, errors.New("libvirt is away")
			}
			return []TemplateState{{Name: "demo", State: "ready", CapacityBytes: 1 << 30, Clones: 2}}, nil
		},
	})
	for range 3 {
		if code, body := s.get(apiPath + "/templates"); code != 200 || !strings.Contains(body, `"clones":2`) {
			t.Errorf("%d %s", code, body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("libvirt was asked %d times, want once", n)
	}
	later.Store(int64(templatesFor / time.Second))
	fails.Store(true)
	if code, body := s.get(apiPath + "/templates"); code != 500 || !strings.Contains(body, "libvirt is away") || asked.Load() != 2 {
		t.Errorf("later: %d %s, asked %d times", code, body, asked.Load())
	}
	fails.Store(false)
	if code, _ := s.get(apiPath + "/templates"); code != 500 || asked.Load() != 2 {
		t.Errorf("at once after a failure: %d, asked %d times, want the same said again", code, asked.Load())
	}
	later.Add(int64(noTemplateFor / time.Second))
	if code, _ := s.get(apiPath + "/templates"); code != 200 || asked.Load() != 3 {
		t.Errorf("soon after a failure: %d, asked %d times, want them asked again", code, asked.Load())
	}
}
