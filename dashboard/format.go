package dashboard

import (
	"fmt"
	"math"
	"time"
)

// calmBelow is the CPU in per cent up to which a VM is shown in green.
const calmBelow = 30

// breakLine parts a clean text that is too wide at the last blank of what fits; where there is none, it stays whole.
func breakLine(text string, width int) (first, rest string) {
	if textWidth(text) <= width {
		return text, ""
	}
	at := -1
	for i, r := range text {
		if textWidth(text[:i]) > width {
			break
		}
		if r == ' ' {
			at = i
		}
	}
	if at <= 0 {
		return text, ""
	}
	return text[:at], text[at+1:]
}

// percent appends a figure of five cells, such as " 93 %".
func (l *line) percent(cpu *float64, upper float64) *line {
	text := "–"
	if cpu != nil {
		text = fmt.Sprintf("%.0f %%", clamp(*cpu))
	}
	return l.cellRight(cpuTone(cpu, upper), text, 5)
}

// cpuTone is red above the upper threshold, where that is known, yellow above calmBelow, green below.
func cpuTone(cpu *float64, upper float64) tone {
	switch {
	case cpu == nil:
		return toneDim
	case upper > 0 && *cpu > upper:
		return toneBad
	case *cpu > calmBelow:
		return toneWarn
	default:
		return toneGood
	}
}

func spark(value *float64) string {
	if value == nil {
		return " "
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	return string(levels[min(int(clamp(*value)/100*float64(len(levels))), len(levels)-1)])
}

func clamp(percent float64) float64 {
	if math.IsNaN(percent) {
		return 0
	}
	return min(max(percent, 0), 100)
}

// age is a time span in at most six cells: 12s, 2m05s, 1h02m, 3d04h.
func age(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	case s < 100*86400:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	default:
		return fmt.Sprintf("%dd", s/86400)
	}
}

// spell is a time span in a sentence: 7 s, 2m05s.
func spell(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(max(d, 0).Seconds()))
	}
	return age(d)
}

// elapsed is how long a step took.
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return spell(d)
}

func memory(used *int, total, width int) string {
	if used != nil {
		if text := fmt.Sprintf("%d/%d MiB", *used, total); len(text) <= width {
			return text
		}
		return size(used) + "/" + size(&total)
	}
	if total >= 10240 {
		return size(&total)
	}
	return fmt.Sprintf("%d MiB", total)
}

// size is an amount that is given in MiB.
func size(mib *int) string {
	switch {
	case mib == nil:
		return "–"
	case *mib < 1024:
		return fmt.Sprintf("%d MiB", *mib)
	case *mib < 100*1024:
		return fmt.Sprintf("%.1f GiB", float64(*mib)/1024)
	case *mib < 10*1024*1024:
		return fmt.Sprintf("%d GiB", *mib/1024)
	default:
		return fmt.Sprintf("%.1f TiB", float64(*mib)/1024/1024)
	}
}
