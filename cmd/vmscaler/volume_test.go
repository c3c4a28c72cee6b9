package main

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

func TestChooseKept(t *testing.T) {
	all := []vm.KeptVolume{{Name: "own"}, {Name: "used", User: "web-1"}, {Name: "other", Foreign: true}}
	for name, want := range map[string]string{
		"own": "", "used": "needed by web-1", "other": "another host's", "none": "found no kept disk none",
	} {
		k, err := chooseKept(all, name)
		switch {
		case want == "" && (err != nil || k.Name != name):
			t.Errorf("%s: got %+v, %v", name, k, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q in it", name, err, want)
		}
	}
}
