package actuator

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/template/staging"
	"github.com/vmscaler/vmscaler/bus"
)

// While it is not known whether a template is there, or it is still to come, nothing is made from it, and health says so; what
// else the plan has goes on.
func TestLaunchesWaitForTheTemplate(t *testing.T) {
	templates, err := staging.New(staging.Config{Pool: staging.LibvirtPool{}}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	spec := bus.DefaultGroup()
	templates.Want("kvm1", staging.WantedBy([]bus.Group{spec}))
	for name, tt := range map[string]struct {
		templates *staging.Stager
		want      int
	}{"nobody looks after templates": {nil, 2}, "it is not known": {templates, 0}} {
		a := &Actuator{cfg: Config{Templates: tt.templates}, load: load{}}
		g := newGroup(t0)
		g.spec = spec
		a.cfg.Now = func() time.Time { return t0 }
		plan := Actions{Create: []string{"web-1", "web-2"}}
		if !a.fitIn(g, &plan, true, &room{cores: 8}) || len(plan.Create) != tt.want {
			t.Errorf("%s: %v, want %d", name, plan.Create, tt.want)
		}
		troubles := a.templateTroubles(g)
		if (len(troubles) == 1) != (tt.want == 0) || len(troubles) == 1 && troubles[0].Code != bus.ProblemNoTemplate {
			t.Errorf("%s: %v", name, troubles)
		}
	}
}
