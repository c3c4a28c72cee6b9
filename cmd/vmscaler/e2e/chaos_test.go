package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// TestChaos breaks the program, libvirt, NATS, the disk and the guests, one after the other in a random order that a seed
// repeats, while a fuzzer writes on the bus; after each fault all must be well again by itself.
//
// In `make test` it is short. `make chaos` runs it for CHAOS_MINUTES: each fault several times, and then on at random.
// CHAOS_ONLY names the faults to run, separated by commas.
func TestChaos(t *testing.T) {
	minutes, long := os.Getenv("CHAOS_MINUTES"), false
	r := &chaosRun{t: t, start: time.Now(), seed: 1, stats: map[string][]time.Duration{}}
	if minutes != "" {
		n, err := strconv.ParseFloat(minutes, 64)
		if err != nil {
			t.Fatalf("CHAOS_MINUTES: %s", err)
		}
		r.end, long = r.start.Add(time.Duration(n*float64(time.Minute))), true
		r.seed = rand.Uint64()
	} else {
		t.Parallel()
	}
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		var err error
		if r.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %s", err)
		}
	}
	t.Logf("CHAOS_SEED=%d", r.seed)
	r.rng = rand.New(rand.NewPCG(r.seed, 0))
	r.faults = chaosFaults()
	switch only := os.Getenv("CHAOS_ONLY"); {
	case only != "":
		r.keep(func(f fault) bool { return slices.Contains(strings.Split(only, ","), f.name) })
		if len(r.faults) == 0 {
			t.Fatalf("CHAOS_ONLY=%s: there are the faults %s", only, names(chaosFaults()))
		}
		r.rounds = 1
	case long:
		r.rounds = leastTimes
	default:
		r.keep(func(f fault) bool { return f.short })
		r.rounds = 1
	}
	r.run()
	r.report()
}

// leastTimes is how often each fault comes in a long run; the steps at which the program dies come once.
const leastTimes = 2

// fault is one kind of fault.
type fault struct {
	name  string
	place place
	short bool // part of `make test`
	once  bool // once is enough
	// do brings the fault about and ends it. What must be so meanwhile it checks itself; that all is well afterwards is
	// checked for it.
	do func(*chaos)
}

func names(faults []fault) string {
	var all []string
	for _, f := range faults {
		all = append(all, f.name)
	}
	return strings.Join(all, ", ")
}

// chaosRun is the whole run.
type chaosRun struct {
	t      *testing.T
	start  time.Time
	end    time.Time // go on until then
	seed   uint64
	rng    *rand.Rand
	faults []fault
	rounds int
	number int // of the fault
	stats  map[string][]time.Duration
	failed []string
	oldest life
}

func (r *chaosRun) keep(wanted func(fault) bool) {
	r.faults = slices.DeleteFunc(r.faults, func(f fault) bool { return !wanted(f) })
}

// run goes through all faults round by round, and then takes some at random until the time is over.
func (r *chaosRun) run() {
	for round := range r.rounds {
		r.play(slices.DeleteFunc(slices.Clone(r.faults), func(f fault) bool { return f.once && round > 0 }), false)
	}
	for time.Now().Before(r.end) {
		r.play(slices.Clone(r.faults), true)
	}
}

// play plays faults once each in a random order, those of the same place in the same world.
func (r *chaosRun) play(faults []fault, mayEnd bool) {
	r.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for len(faults) > 0 {
		where := faults[0].place
		var here, elsewhere []fault
		for _, f := range faults {
			if f.place == where {
				here = append(here, f)
			} else {
				elsewhere = append(elsewhere, f)
			}
		}
		for len(here) > 0 { // a world in which a fault has failed is given up, and the others get a new one
			if mayEnd && time.Now().After(r.end) {
				return
			}
			here = here[max(1, r.inOneWorld(where, here, mayEnd)):]
		}
		faults = elsewhere
	}
}

// inOneWorld plays faults in a world of their own until one fails, and says how many were played.
func (r *chaosRun) inOneWorld(where place, faults []fault, mayEnd bool) (played int) {
	r.t.Run(where.name, func(t *testing.T) {
		now := "the start"
		defer func() {
			if t.Failed() {
				r.failed = append(r.failed, now)
				t.Errorf("chaos failed at fault %d, %s. To repeat it: CHAOS_SEED=%d CHAOS_ONLY=%s make chaos", r.number, now, r.seed, now)
			}
		}()
		c := newChaos(t, where, rand.New(rand.NewPCG(r.seed, r.rng.Uint64())))
		for _, f := range faults {
			if mayEnd && time.Now().After(r.end) {
				break
			}
			played++
			r.number++
			now = f.name
			began := time.Now()
			t.Logf("%s fault %d: %s", began.Format("15:04:05.000"), r.number, f.name)
			f.do(c)
			t.Logf("%s its end after %.1f s", time.Now().Format("15:04:05.000"), time.Since(began).Seconds())
			took := c.settle(f.name)
			t.Logf("%s well again after %.1f s", time.Now().Format("15:04:05.000"), took.Seconds())
			r.stats[f.name] = append(r.stats[f.name], took)
			if c.oldest.age > r.oldest.age {
				r.oldest = c.oldest
			}
		}
		now = "the end"
		c.stopAll()
	})
	return played
}

// report prints the table, and fails for what came too seldom.
func (r *chaosRun) report() {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 4, 1, ' ', 0)
	fmt.Fprintln(table, "| fault\t| times\t| median s\t| longest s\t|")
	fmt.Fprintln(table, "|---\t|---\t|---\t|---\t|")
	var missing []string
	for _, f := range r.faults {
		took := r.stats[f.name]
		least := r.rounds
		if f.once {
			least = 1
		}
		if len(took) < least {
			missing = append(missing, fmt.Sprintf("%s (%d of %d)", f.name, len(took), least))
		}
		if len(took) > 0 {
			slices.Sort(took)
			fmt.Fprintf(
				table,
				"| %s\t| %d\t| %.1f\t| %.1f\t|\n",
				f.name,
				len(took),
				took[len(took)/2].Seconds(),
				took[len(took)-1].Seconds(),
			)
		}
	}
	_ = table.Flush()
	r.t.Logf("CHAOS_SEED=%d, %d faults in %s\n%s", r.seed, r.number, time.Since(r.start).Round(time.Second), text.String())
	if r.oldest.age > 0 {
		r.t.Logf(
			"the longest life: %s, %s, from %+v to %+v",
			r.oldest.name,
			r.oldest.age.Round(time.Second),
			r.oldest.early,
			r.oldest.late,
		)
	}
	if len(r.failed) > 0 {
		r.t.Logf("failed: %s", strings.Join(r.failed, ", "))
	}
	if len(missing) > 0 {
		r.t.Errorf("too seldom: %s", strings.Join(missing, ", "))
	}
	if over := time.Since(r.end); !r.end.IsZero() && over > time.Minute && os.Getenv("CHAOS_ONLY") == "" {
		r.t.Logf("each fault %d times took longer than CHAOS_MINUTES, by %s: none came at random", r.rounds, over.Round(time.Second))
	}
}
