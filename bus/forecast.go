package bus

import (
	"errors"
	"time"
)

// MaxForecastHours is how far a forecast may be asked for.
const MaxForecastHours = 72

// Forecast is what a group's policy predictive expects, and the size that it would plan for that.
type Forecast struct {
	V        int       `json:"v"`
	Group    string    `json:"group"`
	Time     time.Time `json:"time"`                // of the newest reading that it goes by
	Shadow   bool      `json:"shadow,omitempty"`    // it is a shadow policy, which changes nothing
	PeriodMS int64     `json:"period_ms,omitempty"` // of the load; 0: none is known
	// Points are ascending; none is [], and without a period there is one at most.
	Points   []Outlook `json:"points"`
	Sentence string    `json:"sentence"` // what it goes by, or why there is no more
}

// Outlook is what a load is expected to be, at its highest, from a time on until that of the next.
type Outlook struct {
	Time    time.Time `json:"time"`
	Load    float64   `json:"load"`    // in VMs at full use
	Margin  float64   `json:"margin"`  // beyond that, by what was missed lately
	Desired int       `json:"desired"` // VMs that would be planned, within the min and max that hold now
}

func (f *Forecast) check() error {
	if f.Group == "" || f.Points == nil {
		return errors.New("forecast without group or points")
	}
	var b bounds
	b.name("group", f.Group, MaxName)
	b.count("points", len(f.Points), maxElements)
	b.text("sentence", f.Sentence)
	if err := b.of("forecast"); err != nil {
		return err
	}
	return checkVersion(f.V)
}
