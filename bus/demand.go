package bus

import (
	"errors"
	"fmt"
	"time"
)

// Metric is a number that anybody publishes of a group, such as its requests per second or the length of its queue.
type Metric struct {
	V     int    `json:"v"`
	Group string `json:"group"`
	Name  string `json:"name"`
	// Value is of the whole group, 0 to MaxMetric. nil is unknown; a message that does not say why is refused.
	Value *float64 `json:"value"`
	Error string   `json:"error,omitempty"` // why the value is not known; "" where it is
}

// MaxMetric is the highest number that a metric can be. What is above it was not measured.
const MaxMetric = 1e15

func (m *Metric) check() error {
	if m.Group == "" || m.Name == "" || m.Value == nil && m.Error == "" {
		return errors.New("metric without group, name or value: a number that is not known is not published, or with the error")
	}
	if m.Value != nil && m.Error != "" {
		return errors.New("metric with a value and an error: either it is known or not")
	}
	if err := m.bounds(); err != nil { // first, as the others repeat what they found
		return err
	}
	if err := CheckGroupName(m.Group); err != nil {
		return fmt.Errorf("group %w", err)
	}
	if err := CheckMetricName(m.Name); err != nil {
		return fmt.Errorf("name %w", err)
	}
	if m.Value != nil {
		if err := CheckMetricValue(*m.Value); err != nil {
			return fmt.Errorf("value: %w", err)
		}
	}
	return checkVersion(m.V)
}

// CheckMetricName reports what is wrong with a metric's name.
func CheckMetricName(name string) error {
	if name == "" || len(name) > 60 || name != Token(name) {
		return fmt.Errorf("%q: want 1 to 60 of a-z, A-Z, 0-9, '-' and '_'", Clip(name, 80))
	}
	return nil
}

// CheckMetricValue reports what is wrong with a metric's value.
func CheckMetricValue(v float64) error {
	if !(v >= 0 && v <= MaxMetric) { // not NaN either
		return fmt.Errorf("found %g, want 0 to %g", v, MaxMetric)
	}
	return nil
}

// Demand is one minute of what was asked of a group and what it had, for replays. Each list has a value for each step of
// the minute; null is unknown.
type Demand struct {
	V     int       `json:"v"`
	Group string    `json:"group"`
	Time  time.Time `json:"time"` // when the minute began
	StepS int       `json:"step_s"`
	// Load is the average CPU of the ready VMs times their number, in VMs. Where they were at their full, more may have
	// been asked.
	Load  []*float64 `json:"load"`
	Ready []*int     `json:"ready"`
	Owned []*int     `json:"owned"`
}

func (d *Demand) check() error {
	if d.Group == "" || d.Time.IsZero() || d.StepS <= 0 || d.Load == nil || len(d.Ready) != len(d.Load) ||
		len(d.Owned) != len(d.Load) {
		return errors.New("demand without group, time or step_s, or with lists of different lengths")
	}
	if err := checkVersion(d.V); err != nil {
		return err
	}
	return d.bounds()
}

func (m *Metric) bounds() error {
	var b bounds
	b.name("group", m.Group, MaxName)
	b.name("name", m.Name, MaxName)
	b.text("error", m.Error)
	return b.of("metric")
}

func (d *Demand) bounds() error {
	var b bounds
	b.name("group", d.Group, MaxName)
	b.number("step_s", float64(d.StepS), 3600)
	b.count("load", len(d.Load), 3600)
	return b.of("demand")
}
