package model_test

import (
	"testing"

	"github.com/vmscaler/vmscaler/dashboard/model"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

func TestUnready(t *testing.T) {
	m := model.New(modeltest.At(0), model.Sizes{Entries: 10})
	want := func(at float64, text string) {
		t.Helper()
		if got := m.Unready(modeltest.At(at)); got != text {
			t.Errorf("at %g s: got %q, want %q", at, got, text)
		}
	}
	want(0, "nothing was heard of any group yet")
	m.Fold(modeltest.Sample("web", "kvm1", 1), modeltest.At(1))
	want(1, "group web has no decision that holds")
	m.Fold(modeltest.Decision("web", 2), modeltest.At(2))
	want(2, "")
	m.Fold(modeltest.Sample("web", "kvm1", 7), modeltest.At(7))
	want(9, "")
	want(13.5, "group web has no decision that holds")
	m.Fold(modeltest.Decision("web", 30), modeltest.At(30))
	want(31, "group web has no fresh sample")
	m.Fold(modeltest.Sample("db", "kvm1", 31), modeltest.At(31))
	m.Fold(modeltest.Sample("web", "kvm2", 31), modeltest.At(31)) // one host is silent, and another is not
	m.Fold(modeltest.Decision("db", 31), modeltest.At(31))
	want(31, "")
}
