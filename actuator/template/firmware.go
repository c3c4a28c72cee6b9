package template

// Firmware is what starts a template's disk, as far as its first sectors tell.
type Firmware string

// What an image can be started by.
const (
	FirmwareUnknown Firmware = "" // nobody looked, as with a template that no import made
	FirmwareBIOS    Firmware = "bios"
	FirmwareUEFI    Firmware = "uefi"
	FirmwareBoth    Firmware = "both"
)

// Unfit reports why a machine with a BIOS, or with UEFI, does not start from a template; "" where it does, or where that is
// unknown.
func (f Firmware) Unfit(uefi bool) string {
	switch f {
	case FirmwareUnknown, FirmwareBoth:
		return ""
	case FirmwareBIOS:
		if uefi {
			return "boots by BIOS only, as it has no EFI system partition: leave out its group's firmware, or take an image for UEFI"
		}
		return ""
	case FirmwareUEFI:
		if !uefi {
			return "boots by UEFI only: give its group `firmware: uefi`, or take an image that boots by BIOS too"
		}
		return ""
	}
	return "has the unknown firmware " + string(f)
}

// known reports whether it is one of the above.
func (f Firmware) known() bool {
	switch f {
	case FirmwareUnknown, FirmwareBIOS, FirmwareUEFI, FirmwareBoth:
		return true
	}
	return false
}
