package model_test

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/dashboard/model"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

// A group's past is one point for each part of the window, and no more than the window.
func TestPast(t *testing.T) {
	m := model.New(modeltest.At(0), model.Sizes{Past: time.Hour})
	past := func() []model.Point { return m.Group("web").Past() }
	for _, tt := range []struct {
		at   float64
		want int
	}{{1, 1}, {2, 1}, {6, 2}, {11, 3}, {3599, 4}, {3604, 4}, {9000, 1}} {
		d := modeltest.Decision("web", tt.at)
		d.Desired = int(tt.at)
		if !m.Fold(d, modeltest.At(tt.at)) {
			t.Fatalf("at %g s: no news", tt.at)
		}
		got := past()
		if len(got) != tt.want || got[len(got)-1].Desired != int(tt.at) {
			t.Errorf("at %g s: got %d points %+v, want %d", tt.at, len(got), got, tt.want)
		}
	}
	for at := 9001.; at < 9001+2*3600; at++ {
		m.Fold(modeltest.Decision("web", at), modeltest.At(at))
	}
	if got := past(); len(got) != 720 {
		t.Errorf("got %d points", len(got))
	}
	if p := past()[0]; len(p.Thresholds) != 2 || *p.AveragePercent != 45 || p.Max != 5 {
		t.Errorf("got %+v", p)
	}
	unknown := modeltest.Decision("db", 1)
	unknown.HasSample = false
	m.Fold(unknown, modeltest.At(1))
	if got := m.Group("db").Past(); len(got) != 0 {
		t.Errorf("of what is not known: %+v", got)
	}
}
