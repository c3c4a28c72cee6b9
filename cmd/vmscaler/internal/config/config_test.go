package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

var update = flag.Bool("update", false, "write the golden files again")

// same compares two configurations without where their fields are.
func same(t *testing.T, got, want Config) {
	t.Helper()
	got.Path, want.Path, got.Named = "", "", want.Named
	got.lines, want.lines = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func parse(t *testing.T, text string) Config {
	t.Helper()
	cfg, warnings, err := Parse("vmscaler.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Fatalf("warnings: %v", warnings)
	}
	return cfg
}

func TestProblemsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, warnings, err := Parse(name, data)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got error %v, want Problems", err)
			}
			if len(warnings) > 0 {
				t.Errorf("a wrong file gave %v", warnings)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// Every problem has a line, and the text of that line is about it.
func TestProblemsHaveTheirLine(t *testing.T) {
	data, err := os.ReadFile("testdata/many.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	_, _, err = Parse("many.yaml", data)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, p := range problems {
		key := p.Field[strings.LastIndex(p.Field, ".")+1:]
		missing := p.Found == "nothing" || strings.HasSuffix(key, "]")
		if p.Line < 1 || p.Column < 1 || !missing && !strings.Contains(lines[p.Line-1], key+":") {
			t.Errorf("%v is said of line %d, %q", p, p.Line, lines[max(0, p.Line-1)])
		}
	}
}

func TestExampleIsTheDefaults(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "examples", "vmscaler.yaml")
	cfg, warnings, err := Load(path)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	same(t, cfg, Default())
	if cfg.Path != path {
		t.Errorf("path %q, want %q", cfg.Path, path)
	}
	for line := range strings.Lines(string(Default().YAML())) {
		field, _, _ := strings.Cut(strings.TrimLeft(line, " -"), ":")
		if data, _ := os.ReadFile(path); !strings.Contains(string(data), field+":") {
			t.Errorf("the example lacks %q", field)
		}
	}
}

func TestDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                    "",
		"comments":                 "# nothing\n",
		"document start":           "---\n",
		"document start and end":   "---\nlibvirt:\n...\n",
		"directive":                "%YAML 1.2\n---\nlibvirt:\n",
		"empty mapping":            "{}\n",
		"empty sections":           "libvirt:\nbus:\nsampling:\n",
		"byte order mark":          "\ufefflibvirt:\n  pool: vmscaler\n",
		"carriage returns":         "libvirt:\r\n  pool: vmscaler\r\n",
		"empty strings":            "libvirt: {uri: ''}\nbus: {listen: '', url: ''}\n",
		"the default group itself": "groups:\n- name: autoscale\n",
	} {
		t.Run(name, func(t *testing.T) { same(t, parse(t, text), Default()) })
	}
	cfg, _, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	same(t, cfg, Default())
}

func TestLoadMissing(t *testing.T) {
	_, _, err := Load(filepath.Join(t.TempDir(), "no.yaml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestLoadEndless(t *testing.T) {
	_, _, err := Load("/dev/zero")
	if err == nil || !strings.Contains(err.Error(), "/dev/zero is not a regular file") {
		t.Errorf("got %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(fifo); err == nil || !strings.Contains(err.Error(), fifo+" is not a regular file") {
		t.Errorf("got %v", err)
	}
	long := filepath.Join(t.TempDir(), "long.yaml")
	if err := errors.Join(os.WriteFile(long, nil, 0o600), os.Truncate(long, 1<<40)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(long); err == nil || !strings.Contains(err.Error(), "at most 256 KiB") {
		t.Errorf("got %v", err)
	}
}

func TestValues(t *testing.T) {
	cfg := parse(t, `
libvirt: {uri: "qemu+ssh://root@host/system", acceleration: kvm, pool: "22.04", disk_pool: fast}
bus:
  url: nats://one:4222,tls://two:4222
sampling: {tick: 250ms}
groups:
  - name: web
    template: my template
    min: 010
    max: 1000
    memory: 1GiB
    ready_when: uptime
    ready_after: 0
    boot_timeout: 1h0m0s
    policy: {upper: "80.5%", lower: 20%, cooldown_in: 90s}
  - name: db-a
    memory: 512
    network: user
`)
	web, db := bus.DefaultGroup(), bus.DefaultGroup()
	web.Name, web.Template, web.Min, web.Max, web.MemoryMiB = "web", "my template", 10, 1000, 1024
	web.ReadyWhen, web.ReadyAfter, web.BootTimeout = bus.ReadyUptime, 0, time.Hour
	web.Policy.UpperPercent, web.Policy.CooldownIn = 80.5, 90*time.Second
	db.Name, db.MemoryMiB, db.Network = "db-a", 512, bus.UserNetwork
	want := Config{
		LibvirtURI: "qemu+ssh://root@host/system", Acceleration: "kvm", Pool: "22.04", DiskPool: "fast",
		BusTaps: Yes, BusURL: "nats://one:4222,tls://two:4222", HTTPListen: DefaultHTTP,
		Host: DefaultHostLimits(), TemplateListen: TemplatesAuto, SweepGrace: 5 * time.Minute,
		Tick: 250 * time.Millisecond, Groups: []bus.Group{web, db},
	}
	same(t, cfg, want)
	again := parse(t, string(cfg.YAML()))
	same(t, again, want)
}

// scalars are one field at a time: what is allowed, and what is just outside it, or of another type.
var scalars = []struct{ field, good, bad string }{
	{"vcpus", "1 512", "0 513 -1 1.0 '2' two 0x10 1_0 ~ true [1] {a: 1} .inf 99999999999999999999"},
	{"min", "0 1 5", "-1 6"},
	{"max", "1 1000", "0 1001"},
	{"memory", "32MiB 32 '64' 1GiB 16384GiB", "31MiB 31 -64 1.5GiB 1TiB 256MB 256M MiB 16385GiB 999999999GiB 1e3 ~"},
	{"network", "default user ''", "a/b . .. 5 true [default] \"a\\nb\" ' a'"},
	{"template", "demo '5' a.b", "'' ~ 5 a/b"},
	{"name", "web a web-a", "Web 1 web1 web-1 web- -web vmscaler-once-a ''"},
	{"ready_when", "agent lease uptime", "Agent '' ~ 1"},
	{"ready_after", "0s 0 1h 1.5s", "-1s 5 61m 1d 1h1s ~ soon"},
	{"boot_timeout", "1s 1h", "999ms 0 2h"},
	{"shutdown_timeout", "0s 1h", "-1ns 2h"},
	{"policy.upper", "21 100 100% 70.5 '70' 2.1e1", "0 20 100.1 101% NaN .nan Inf -1 '' % 70%% ~"},
	{"policy.lower", "0 69.9 0%", "70 -1 -0.1% low"},
	{"policy.interval", "200ms 20m", "199ms 0 21m"},
	{"policy.type", "threshold step target predictive [threshold,target]", "cpu '' [] [threshold,threshold] [step,cpu]"},
	{"policy.shadow", "none predictive [predictive,step]", "threshold [] [step,step] cpu '' [step,none] ~"},
	{"policy.signal", "cpu", "disk '' memory metric prometheus network_rx expression"},
	{"policy.target", "60 1", "0 101"},
	{"policy.target_mib_s", "none 0.5 100", "0 -1 2e6 10MiB"},
	{
		"policy.expression", "'' 'cpu / 60' 'max(cpu/60, metric(\"rps\")/100)'",
		"'cpu /' 'cpus / 60' '\"cpu\"' '1.5' 'metric(\"a.b\")' 'reduce(1..9, #acc + cpu)' 5",
	},
	{"policy.metric", "requests ''", "a.b 'a b' 5"},
	{"policy.metric_target", "0.5 1000", "0 -1 lots"},
	{
		"policy.prometheus",
		"{url: 'http://127.0.0.1:9090', query: up} {url: 'https://prom.example/a', token_file: /t, ca: /c} " +
			"{headers: [{name: X-A, value: b}]} " +
			"{url: 'http://localhost:9090', token_file: /t} {interval: 1s, timeout: 100ms} {interval: 1h, timeout: 1m} {url: ''}",
		"{url: 'ftp://a'} {url: 'http://a:b@c'} {url: 'http://a/?b'} {url: 'http://a/#b'} {url: 'http://'} {url: a} {interval: 0s} " +
			"{interval: 2h} {timeout: 50ms} {timeout: 2m} {headers: [{name: Authorization, value: b}]} {headers: [{value: b}]} " +
			"{headers: [{name: 'a b'}]} {headers: [{name: a, value: \"b\\nc\"}]} {headers: 1} {query: 1} " +
			"{url: 'http://prom.example', token_file: /t} {address: a}",
	},
	{"policy.metric_max_age", "1s 5m 24h", "0s 999ms 25h -1s 120 never"},
	{
		"policy.steps", "{adjustment: percent, out: [{from: 0, adjust: 10}, {from: 10, adjust: 30}], in: []} {adjustment: exact, " +
			"in: [{from: 0, adjust: 1}], out: [{from: 0, adjust: 9}]}",
		"{out: [{from: 5, adjust: 1}, {from: 5, adjust: 2}]} {out: [{adjust: -1}]} {in: [{adjust: 1}]} {out: [{adjust: 1.5}]} " +
			"{adjustment: much} {out: 1} {adjustment: exact, in: [], out: [{adjust: 0}]} {min_magnitude: 0} {out: [{from: 101}]}",
	},
	{
		"policy.limits", "{tolerance: 10} {stabilize_in: 5m} {stabilize_out: 24h} {rate_out: 4, rate_window: 1m} {rate_in: null}",
		"{tolerance: 101} {stabilize_in: -1s} {stabilize_out: 25h} {rate_out: 0} {rate_in: 1001} {rate_window: 0s}",
	},
	{
		"schedule",
		"[] [{at: '0 8 * * MON-FRI', zone: Europe/Berlin, min: 3, max: 9, desired: 4}] [{at: '*/5 * * * *', max: 9}] " +
			"[{at: '@daily', min: 1}] [{at: '@daily', min: 0, desired: 0}] " +
			"[{at: '0 8 * * FRI-MON', min: 1}] [{at: '0 8 * * 7', min: 1}] " +
			"[{at: 2026-12-24T18:00, min: 1}] [{at: '@daily', from: 2026-12-01, until: 2026-12-24T08:00, min: 1}] " +
			"[{at: '0 8 * * THU', min: 1}] [{at: '0 8 * * Sat-Sun', min: 1}]",
		"[{at: 2026-12-24, min: 1}] [{at: 2026-12-24T18:00, until: 2026-12-25, min: 1}] [{at: '@daily', until: tomorrow, min: 1}] " +
			"[{at: '@daily', from: 2026-12-24, until: 2026-12-01, min: 1}] " +
			"[{at: '0 8 * * SUN', from: 2026-12-21, until: 2026-12-24, min: 1}] " +
			"{at: 1} [{at: '0 8 * * *'}] [{min: 3}] [{at: '0 25 * * *', min: 3}] [{at: '0 8 * * *', zone: Mars, min: 3}] " +
			"[{at: '0 8 * * *', min: 3, max: 2}] [{at: '0 8 * * *', min: -1}] [{at: '0 8 * * *', max: 0}] " +
			"[{at: 'TZ=Europe/Berlin', min: 2}] " +
			"[{at: 'CRON_TZ=Asia/Tokyo 0 8 * * *', min: 2}] [{at: '0 0 30 2 *', min: 1}] " +
			"[{at: '0 8 * * *', zone: UTC, zone: UTC, min: 1}] [{at: '@every 5m', min: 1}] " +
			"[{at: '0 8 * * *', zone: Local, min: 3}]",
	},
	{"policy.setting", "safe balanced thrifty", "cheap ''"},
	{"policy.warmup", "0s 1h learned", "-1s 2h -1ns Learned"},
	{"drain", "0s 1h", "-1s 61m"},
	{
		"scale_in",
		"newest oldest least-busy outdated [outdated] [outdated, least-busy, newest] hook:jobs [outdated, hook:jobs-2, newest]",
		"Newest random '' 1 ~ [] [newest, newest] [newest, random] 'hook:' hook:Jobs [hook:a, hook:b]",
	},
	{
		"victim_hook",
		"{timeout: 100ms, patience: 0s} {timeout: 1m, patience: 168h}",
		"{timeout: 99ms} {timeout: 2m} {patience: -1s} {patience: 169h}",
	},
	{"min_ready", "0s 30s 1h", "61m -1s x"},
	{"max_lifetime", "none 3m 24h 8784h", "0 0s 1m 59s 8785h None ~"},
	{
		"maintenance", "{min_healthy: 90, max_healthy: 100} {min_healthy: 0, max_healthy: 100} {max_healthy: 200}",
		"{min_healthy: 101} {max_healthy: 99} {max_healthy: 201} {max_healthy: 100} " +
			"{min_healthy: 50, max_healthy: 151} {min_healthy: '5'}",
	},
	{
		"refresh", "{max_surge: 0, min_healthy: 100} {max_surge: 1000} {max_surge: maintenance, min_healthy: maintenance} " +
			"{canary: 2} {canary: 20%} {canary: 100%} {canary: 1000}",
		"{max_surge: -1} {max_surge: 1001} {max_surge: Maintenance} {min_healthy: -1} {min_healthy: 101} {min_healthy: ~} " +
			"{canary: -1} {canary: 1001} {canary: 0%} {canary: 101%} {canary: all}",
	},
	{
		"warm_pool", "{size: 2} {size: 0} {size: '2'} {size: 50%} {size: max-minus-desired} {state: paused} {state: saved} " +
			"{state: stopped} {size: 1, stopped: 3} {stopped: 50%} {stopped: 0, state: stopped} {min: 0, max: 0} " +
			"{max_age: none} {max_age: 10m} {reuse: true}",
		"{size: -1} {size: 1001} {size: 1001%} {size: all} {size: ~} {size: 1.5} {state: hibernated} {state: ''} {max_age: 9m} " +
			"{max_age: 0} {reuse: 1} {min_size: 1} {stopped: -1} {stopped: 1, state: stopped} " +
			"{size: forecast} {stopped: forecast} {min: 1} {max: 1} {min: -1} {size: 2, max: 3}",
	},
	{"repair", "{health_grace: 0s} {at_once: 1000}", "{health_grace: -1s} {health_grace: 25h} {at_once: 0}"},
	{
		"hooks", "{launch: {wait_for: bus}} {remove: {wait_for: command, command: drain, timeout: 48h, " +
			"default: abandon, on_abandon: retain}} {launch: []} {launch: [{name: dns, wait_for: bus}]} " +
			"{remove: [{name: dns, wait_for: bus, on_abandon: retain}, {name: lb, wait_for: command, command: drain}]}",
		"{remove: {on_abandon: retain}} {remove: [{name: a, on_abandon: retain}]} {launch: [{wait_for: bus}]} " +
			"{launch: [{name: A, wait_for: bus}]} {launch: [{name: a}, {name: a}]} {launch: [{name: a, command: drain}]} " +
			"{launch: {name: dns, wait_for: bus}} {launch: bus} " +
			"{launch: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}, {name: f}, {name: g}, {name: h}, {name: i}, " +
			"{name: j}, {name: k}]} " +
			"{launch: {on_abandon: retain}} {remove: {on_abandon: keep}} {launch: {wait_for: command}} " +
			"{launch: {command: drain}} {remove: {default: heartbeat}} {remove: {timeout: 0}} {launch: " +
			"{wait_for: me}}",
	},
	{"blind_after", "1s 24h", "999ms 0 25h"},
	{"on_host_loss", "replace hold", "true Replace replace-after-fence"},
	{"lost_after", "1s 12s 24h", "999ms 0 25h"},
	{"isolate_after", "never 45s 10m 168h", "1s 44s 0 169h Never"},
	{"placement", "spread pack weighted", "'' random"},
	{"per_host_max", "none 1 1000", "0 1001 -1"},
	{"rebalance", "off on", "'' true even"},
	{"protect_new", "true false", "yes 1"},
	{"deletion_protection", "none prevent-force prevent-all", "all true ''"},
	{"idle_to_zero", "never 1s 15m 168h", "0s 999ms 169h -1s 15 Never"},
	{"wake_for", "0s 15m 168h", "-1s 169h never 15"},
	{"dry_run", "true false", "yes 1 'true' ~ []"},
	{
		"brakes", "{launch_failures: 1} {launch_pause: 24h} {early_death: 0s} {removals: 100000} {removal_window: 1s}",
		"{launch_failures: 0} {launch_pause: 0} {early_death: 25h} {removals: 0} {removal_window: 0}",
	},
}

func TestScalars(t *testing.T) {
	for _, c := range scalars {
		for _, list := range []struct {
			values string
			ok     bool
		}{{c.good, true}, {c.bad, false}} {
			for _, value := range splitValues(list.values) {
				_, _, err := Parse("f", []byte(groupWith(c.field, value)))
				if (err == nil) != list.ok {
					t.Errorf("%s: %s: error %v, want ok %v", c.field, value, err, list.ok)
				}
				var problems Problems
				if !list.ok && errors.As(err, &problems) && len(problems) != 1 {
					t.Errorf("%s: %s: one mistake gave %d problems:\n%v", c.field, value, len(problems), err)
				}
			}
		}
	}
}

// groupWith is a file with one field of a group, such as policy.upper.
func groupWith(field, value string) string {
	if of, is := strings.CutPrefix(field, "policy."); is {
		return "groups:\n  - name: web\n    policy:\n      " + of + ": " + value + "\n"
	}
	text := "groups:\n  - " + field + ": " + value + "\n"
	if field != "name" {
		text += "    name: web\n"
	}
	return text
}

// splitValues splits at blanks outside of quotes, braces and brackets.
func splitValues(s string) []string {
	quoted, depth := false, 0
	return strings.FieldsFunc(s, func(r rune) bool {
		switch r {
		case '\'', '"':
			quoted = !quoted
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		return r == ' ' && !quoted && depth == 0
	})
}

// A signal of the network is refused where it could never be known, and only there.
func TestSignalsOfUserNetworking(t *testing.T) {
	const want = "user-mode networking, which has no counters"
	for text, field := range map[string]string{
		"network: user, policy: {type: target, signal: network_rx, target_mib_s: 5}":                   ".signal: found network_rx",
		"network: user, policy: {type: target, signal: network_tx, target_mib_s: 5}":                   ".signal: found network_tx",
		"network: user, policy: {type: target, signal: expression, expression: cpu/60 + network_rx/5}": ".expression: found network_rx",

		"nics: [{type: network, source: default}, {type: user}], " +
			"policy: {type: target, signal: network_rx, target_mib_s: 5}": ".signal: found",

		"network: user, policy: {type: target, signal: disk_read, target_mib_s: 5}":     "",
		"network: default, policy: {type: target, signal: network_rx, target_mib_s: 5}": "",
		"network: user, policy: {type: threshold}":                                      "",
	} {
		_, _, err := Parse("f", []byte("groups: [{name: web, "+text+"}]"))
		if field == "" && err != nil ||
			field != "" && (err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, field)
		}
	}
}

// What a signal needs beside itself.
func TestSignals(t *testing.T) {
	for text, want := range map[string]string{
		"type: target, signal: prometheus, prometheus: {url: 'http://127.0.0.1:9090', query: up}": "",
		"type: target, signal: prometheus, prometheus: {query: up}":                               ".url: found nothing",
		"type: target, signal: prometheus, prometheus: {url: 'http://a'}":                         ".query: found nothing",
		"type: target, signal: prometheus, prometheus: {url: 'http://a', query: ' '}":             ".query: found nothing",
		"type: target, signal: prometheus, metric_max_age: 1m, prometheus: {url: 'http://a', query: up, interval: 1m}": ".interval: " +
			"found 1m, want at most 55s",
		"type: target, signal: prometheus, metric_max_age: 1s, prometheus: {url: 'http://a', query: up}": ".interval: " +
			"found 15s, want at most 0s",
		"type: target, signal: disk_write, target_mib_s: 5":      "",
		"type: target, signal: load":                             "",
		"type: target, signal: expression, expression: load/100": "",
		"type: threshold, signal: load":                          "signal: found load, want it with type: target only",
		"type: target, signal: network_rx": ".target_mib_s: found none, want MiB/s for each VM " +
			"with signal: network_rx",
		"type: target, signal: expression":                            ".expression: found nothing",
		"type: target, signal: expression, expression: cpu/60":        "",
		"type: target, signal: expression, expression: prometheus/60": ".prometheus.url: found nothing, want the address of Prometheus",
		"type: threshold, signal: expression, expression: cpu":        "signal: found expression, want it with type: target only",
		"type: threshold, signal: prometheus, prometheus: {url: 'http://a', query: up}": "signal: found prometheus, want it with " +
			"type: target only",
	} {
		_, _, err := Parse("f", []byte("groups: [{name: web, policy: {"+text+"}}]"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A value that is wrong by itself is not compared with others: what it would have been is unknown.
func TestNoProblemsThatFollow(t *testing.T) {
	for _, text := range []string{
		"groups: [{name: a, policy: {upper: 15, lower: low}}]",
		"groups: [{name: a, policy: {upper: high, lower: 80}}]",
		"groups: [{name: a, min: 6, max: many}]",
		"groups: [{name: a, min: 6, max: 9, max: 8}]",
		"groups: [web]",
		"groups: web",
	} {
		_, _, err := Parse("f", []byte(text))
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 {
			t.Errorf("%s: got\n%v\nwant one problem", text, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for text, ok := range map[string]bool{
		"bus: {listen: 'localhost:0'}":                      true,
		"bus: {listen: '[::1]:4222'}":                       true,
		"bus: {listen: ':4222'}":                            false,
		"bus: {listen: '192.168.1.1:4222'}":                 false,
		"bus: {listen: '127.0.0.1'}":                        false,
		"bus: {url: 'nats://host'}":                         true,
		"bus: {url: 'host:4222'}":                           false,
		"bus: {url: 'nats://'}":                             false,
		"bus: {url: 'nats://a,'}":                           false,
		"bus: {url: 'nats://a', listen: ''}":                true,
		"bus: {url: 'nats://a', listen: '127.0.0.1:4222'}":  false,
		"libvirt: {uri: 'qemu:///session'}":                 true,
		"libvirt: {uri: 'test:///default'}":                 true,
		"libvirt: {uri: 'qemu+tls://host/system?no_tty=1'}": true,
		"libvirt: {uri: '/system'}":                         false,
		"libvirt: {uri: 'lxc:///'}":                         false,
	} {
		if _, _, err := Parse("f", []byte(text)); (err == nil) != ok {
			t.Errorf("%s: error %v, want ok %v", text, err, ok)
		}
	}
}

func TestNoPasswordInProblems(t *testing.T) {
	for _, value := range []string{
		"http://user:secret@host", "nats://user:se/cret@", "'nats://u:secret@ host'",
		"\"nats://u:secret@\\n\"",
	} {
		_, _, err := Parse("f", []byte("bus:\n  url: "+value+"\n"))
		if err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for text, want := range map[string]string{
		"libvrt:":                                         "did you mean libvirt?",
		"Groups: []":                                      "did you mean groups?",
		"uri: x":                                          "did you mean libvirt.uri?",
		"brakes: {removals: 3}":                           "did you mean groups[].brakes?",
		"upper: 3":                                        "did you mean groups[].policy.upper?",
		"groups: [{name: a, host: {}}]":                   "did you mean host?",
		"groups: [{name: a, zone: UTC}]":                  "did you mean schedule[].zone?",
		"groups: [{name: a, policy: {max: 3}}]":           "did you mean groups[].max?",
		"sampling: {tik: 1s}":                             "did you mean tick?",
		"groups: [{name: a, bootTimeout: }]":              "did you mean boot_timeout?",
		"groups: [{name: a, vcpu: 2}]":                    "did you mean vcpus?",
		"groups: [{name: a, upper: 70}]":                  "did you mean policy.upper?",
		"groups: [{name: a, policy: {cooldwon_out: 1s}}]": "did you mean cooldown_out?",
		"groups: [{name: a, policy: {limits: {stabilise_in: 1m}}}]": "did you mean stabilize_in?",
		"colour: red": "want one of libvirt, bus, http, host, sampling, notify, groups",
	} {
		_, _, err := Parse("f", []byte(text))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want ... %s", text, err, want)
		}
	}
}

func TestWarnsOfFlapping(t *testing.T) {
	text := "groups:\n  - name: web\n    policy:\n      upper: 70\n      lower: 40\n"
	_, warnings, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0].String(), "f.yaml:5: groups[0].policy.lower: lower 40 %") {
		t.Errorf("got %v", warnings)
	}
	_, warnings, _ = Parse("f.yaml", []byte("groups:\n  - name: web\n    policy: {upper: 30}\n"))
	if len(warnings) != 1 || warnings[0].Line != 3 {
		t.Errorf("got %v, want one for line 3, where the policy is", warnings)
	}
}

// What a schedule's past says is not what somebody wants as a rule.
func TestWarnsOfActionsThatAreOver(t *testing.T) {
	text := "groups:\n  - name: web\n    schedule:\n      - {at: 2001-12-24T18:00, desired: 5}\n" +
		"      - {at: 2001-12-25T18:00, min: 2}\n      - {at: 2199-12-25T18:00, min: 3}\n" +
		"      - {at: '@daily', until: 2002-01-01, max: 9}\n"
	_, warnings, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		"f.yaml:4: groups[0].schedule[0].at: it was due on 2001-12-24 18:00 UTC for the last time, and sets nothing any more; " +
			"take it out, or give it another date",
		"f.yaml:5: groups[0].schedule[1].at: it was due on 2001-12-25 18:00 UTC for the last time, and its min or max holds since; " +
			"put it into the group's own min or max, or add an action that ends it",
		"f.yaml:7: groups[0].schedule[3].at: it was due on 2002-01-01 00:00 UTC for the last time, and its min or max holds since; " +
			"put it into the group's own min or max, or add an action that ends it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWarnsOfIdleWithoutZero(t *testing.T) {
	for text, want := range map[string]string{
		"min: 2, idle_to_zero: 5m": "f.yaml:1: groups[0].idle_to_zero: the last VM never goes, as min is 2 at all times; " +
			"use min: 0",
		"min: 0, idle_to_zero: 5m":                             "",
		"idle_to_zero: 5m, schedule: [{at: '@daily', min: 0}]": "",
		"idle_to_zero: never":                                  "",
	} {
		_, warnings, err := Parse("f.yaml", []byte("groups: [{name: web, "+text+"}]"))
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) > 1 || (len(warnings) == 1) != (want != "") || want != "" && warnings[0].String() != want {
			t.Errorf("%s: %v, want %q", text, warnings, want)
		}
	}
}

func TestLaterProblems(t *testing.T) {
	cfg := parse(t, "libvirt:\n  pool: p\ngroups:\n  - name: web\n    network: lan\n  - name: db\n")
	for field, want := range map[string]int{
		"libvirt.pool": 2, "libvirt.uri": 1, "groups[0].network": 5, "groups[0].policy.upper": 4,
		"groups[1].template": 6, "groups[7].name": 3, "sampling.tick": 0, "bus": 0,
	} {
		if got := cfg.Line(field); got != want {
			t.Errorf("line of %s is %d, want %d", field, got, want)
		}
	}
	err := Problems{
		cfg.Problem("groups[0].network", "lan", "one of default, br0"),
		cfg.Problem("bus.listen", "127.0.0.1:4222", "a free port"),
		Default().Problem("groups[0].template", "demo", "an existing template"),
	}
	want := `vmscaler.yaml:5: groups[0].network: found lan, want one of default, br0
vmscaler.yaml: bus.listen: found 127.0.0.1:4222, want a free port
groups[0].template: found demo, want an existing template`
	if err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestYAMLOfDefaults(t *testing.T) {
	text := string(Default().YAML())
	same(t, parse(t, text), Default())
	if !strings.Contains(text, "\n  - name: autoscale\n    template: demo\n") || !strings.Contains(text, "boot_timeout: 2m\n") {
		t.Errorf("not written as people write it:\n%s", text)
	}
}

// FuzzParse: any bytes give either problems on one line each, or a configuration that its own YAML gives again.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, filepath.Join("..", "..", "..", "..", "examples", "vmscaler.yaml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, seed := range []string{
		"? a\n: b", "a: &a *a", "{a: b", "- - -", "libvirt: {pool: 'a #b'}", "libvirt:\n  pool: |\n    x\n",
		"libvirt: {pool: \"true\"}", "libvirt: {pool: \"- x\"}", "%YAML 1.2\n---\n", "&a b: c", "!!map {a: b}", "*a : b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return // the parser's time grows with the square of the depth
		}
		cfg, _, err := Parse("f", data)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || strings.Count(err.Error(), "\n") != len(problems)-1 {
				t.Fatalf("got %q, want a line for each problem", err)
			}
			return
		}
		again, _, err := Parse("f", cfg.YAML())
		if err != nil {
			t.Fatalf("own YAML: %v\n%s", err, cfg.YAML())
		}
		same(t, again, cfg)
	})
}

// Beside the problems is what of the file is right, so that the host can be asked about it in the same go.
func TestParseKeepsWhatIsRight(t *testing.T) {
	cfg, _, err := Parse(
		"v.yaml",
		[]byte("libvirt:\n  pool: [own]\n  uri: qemu:///session\ngroups:\n- name: web\n  template: small\n  max: 0\n"),
	)
	if err == nil || cfg.LibvirtURI != "qemu:///session" || len(cfg.Groups) != 1 || cfg.Groups[0].Template != "small" ||
		cfg.Line("groups[0].template") != 6 {
		t.Errorf("got %+v, %v", cfg, err)
	}
	for _, text := range []string{"groups: 3\n", "groups: [\n", "- a\n"} {
		if cfg, _, err := Parse("v.yaml", []byte(text)); err == nil || len(cfg.Groups) != 0 {
			t.Errorf("%q: groups %+v, %v; want none, as they are unknown", text, cfg.Groups, err)
		}
	}
}

func TestProblemsOfALaterCheck(t *testing.T) {
	of := func(field string, line int) Problem { return Problem{Field: field, Line: line} }
	got := Problems{of("libvirt.pool", 2), of("groups[1]", 9)}.And(Problems{
		of(
			"libvirt.pool",
			2,
		), of("libvirt.pool2", 3), of("groups[1].network", 9), of("groups[0].network", 5), of("groups[10].network", 20),
	})
	want := Problems{
		of("libvirt.pool", 2),
		of("libvirt.pool2", 3),
		of("groups[0].network", 5),
		of("groups[1]", 9),
		of("groups[10].network", 20),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTaps(t *testing.T) {
	for text, want := range map[string]string{"": Yes, "bus: {taps: true}": Yes, "bus: {taps: false}": No} {
		cfg, _, err := Parse("x.yaml", []byte(text))
		if err != nil || cfg.BusTaps != want {
			t.Errorf("%q: got %q, %v; want %q", text, cfg.BusTaps, err, want)
		}
	}
	for _, text := range []string{`bus: {taps: "false"}`, "bus: {taps: 0}", "bus: {taps: nobody}", "bus: {taps: [false]}"} {
		if _, _, err := Parse("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "bus.taps") ||
			!strings.Contains(err.Error(), wantYesOrNo) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	cfg := Default()
	cfg.BusTaps = "perhaps" // as a flag may say
	if err := CheckBus(cfg); err == nil || !strings.Contains(err.Error(), wantYesOrNo) {
		t.Errorf("got %v", err)
	}
}

func TestCluster(t *testing.T) {
	const three = "members: 'kvm1:6222,kvm2:6222,kvm3:6222'"
	cfg, _, err := Parse("x.yaml", []byte("bus: {listen: '0.0.0.0:4222', cert: c, key: k, cluster: {"+three+
		", name: kvm1, listen: '0.0.0.0:6222', ca: ca.pem}}"))
	want := BusCluster{Members: "kvm1:6222,kvm2:6222,kvm3:6222", Name: "kvm1", Listen: "0.0.0.0:6222", CA: "ca.pem"}
	if err != nil || cfg.BusCluster != want {
		t.Errorf("got %+v, %v", cfg.BusCluster, err)
	}
	for text, want := range map[string]string{
		"bus: {cluster: {members: 'kvm1:6222'}}":                                           "bus.cluster.members: found",
		"bus: {cluster: {members: 'kvm1:6222,kvm2,kvm3:1'}}":                               "bus.cluster.members: found",
		"bus: {cluster: {name: kvm1}}":                                                     "bus.cluster.members: found nothing",
		"bus: {cluster: {" + three + "}}":                                                  "bus.cluster.name: found nothing",
		"bus: {cluster: {" + three + ", name: 'a b'}}":                                     "bus.cluster.name: found",
		"bus: {cluster: {" + three + ", name: a}}":                                         "bus.cluster.listen: found nothing",
		"bus: {cluster: {" + three + ", name: a, listen: '0.0.0.0:6222'}}":                 "bus.cluster.ca: found nothing",
		"bus: {cluster: {" + three + ", name: a, listen: '0.0.0.0:6222', ca: c}}":          "bus.cluster.ca: found",
		"bus: {url: 'nats://a:1', cluster: {" + three + ", name: a, listen: '0.0.0.0:1'}}": "bus.cluster.members: found",
	} {
		if _, _, err := Parse("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// A command that is advised about a file that was named is for the same file.
func TestAdviceIsForTheFile(t *testing.T) {
	const text = "an existing one; `vmscaler setup` makes it"
	for _, tt := range []struct {
		cfg  Config
		text string
		want string
	}{
		{Config{}, text, text},
		{Config{Path: "vmscaler.yaml"}, text, text},
		{Config{Path: "/etc/web.yaml", Named: true}, text, "an existing one; `vmscaler setup -c /etc/web.yaml` makes it"},
		{Config{Path: "my file", Named: true}, text, "an existing one; `vmscaler setup -c 'my file'` makes it"},
		{Config{Path: "x", Named: true}, "no command", "no command"},
	} {
		if got := tt.cfg.Advice(tt.text); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, []byte("groups: [{name: web}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, _, err := Load(file); err != nil || !cfg.Named {
		t.Errorf("it is not a named one: %+v, %v", cfg, err)
	}
}
