package vm

import (
	"testing"

	"github.com/vmscaler/vmscaler/actuator/internal/vmtest"
	"github.com/vmscaler/vmscaler/internal/libvirttest"
)

func TestMain(m *testing.M) { libvirttest.Main(m) }

const someUUID = vmtest.UUID

var t0, webSpec, someMetadata, containsAll = vmtest.Noon(), vmtest.Spec, vmtest.Metadata, vmtest.ContainsAll
