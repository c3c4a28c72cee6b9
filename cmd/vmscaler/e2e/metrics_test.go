package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/dashboard/web/webtest"
)

// TestMetrics: a real Prometheus scrapes a real group, and finds what is there.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config, address, inProcess, server := w.config("min: 1\nmax: 3\n"), freeAddress(t), freeAddress(t), freeAddress(t)
	w.env = append(w.env, "VMSCALER_HTTP="+inProcess)
	p := w.start(config)
	p.says("http: http://" + inProcess + "/")
	p.untilReady(1)
	if body := fetch(t, "http://"+inProcess+"/api/v1/templates"); !containsAll(body, `"name":"demo","state":"ready"`, `"clones":1`) {
		t.Errorf("the templates are %s", body)
	}
	exporter := w.spawn("web", "-c", config, "--http", address)
	exporter.says("serving http://" + address + "/")
	if body := fetch(t, "http://"+inProcess+"/metrics"); !strings.Contains(
		body,
		fmt.Sprintf("vmscaler_group_max{group=%q} 3", w.group),
	) {
		t.Errorf("in the process itself:\n%s", body)
	}
	prometheus := w.prometheus(t.TempDir(), server, address, fmt.Sprintf(
		"- {job_name: inside, http_sd_configs: [{url: 'http://%s/sd/%s?port=9100', refresh_interval: 1s}]}\n", address, w.group))
	query := func(expression string) string {
		return strings.Join(strings.Fields(fetch(t, "http://"+server+"/api/v1/query?query="+url.QueryEscape(expression))), "")
	}
	value := func(expression, want string) {
		t.Helper()
		p.until(expression+" is "+want, func() bool {
			var answer struct {
				Data struct {
					Result []struct{ Value [2]any }
				}
			}
			if err := json.Unmarshal([]byte(query(expression)), &answer); err != nil {
				t.Fatal(err)
			}
			return len(answer.Data.Result) == 1 && answer.Data.Result[0].Value[1] == want
		})
	}
	value(fmt.Sprintf("vmscaler_group_ready{group=%q}", w.group), "1")
	value(fmt.Sprintf("vmscaler_group_max{group=%q}", w.group), "3")
	value(fmt.Sprintf("sum(vmscaler_group_vms{group=%q, phase=\"ready\"})", w.group), "1")
	value(fmt.Sprintf("count(vmscaler_vm_cpu_ratio{group=%q})", w.group), "1")
	value("count(vmscaler_stage_up == 1)", "4") // bus, collector, decider and actuator
	value(`vmscaler_stage_call_duration_seconds_count{api="libvirt", call="start", stage="actuator"}`, "1")
	value(`count(vmscaler_stage_call_duration_seconds_count{call=~"pass|save|keep-event"})`, "3")

	dashboard, err := os.ReadFile("../../../packaging/grafana/vmscaler.json")
	if err != nil {
		t.Fatal(err)
	}
	queries := regexp.MustCompile(`"expr": (".*")`).FindAllStringSubmatch(string(dashboard), -1)
	for _, q := range queries {
		text, err := strconv.Unquote(q[1])
		if err != nil {
			t.Fatal(err)
		}
		query(strings.ReplaceAll(text, "$group", w.group)) // which fails where Prometheus does not understand it
	}
	if len(queries) < 20 {
		t.Errorf("%d queries were found", len(queries))
	}
	w.scaleOverHTTP(address)
	w.scaleInBrowser(address)
	p.untilReady(2)
	value(fmt.Sprintf("count(up{job=%q, vm=%q, template=\"demo\"})", "inside", w.group+"-1"), "1") // by /sd
	p.until("its past is replayed, once a minute of it is recorded", func() bool {
		resp, err := http.Get("http://" + inProcess + "/api/v1/groups/" + w.group + "/replay")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && containsAll(string(body), `"policy":"recorded"`, `"policy":"own"`)
	})
	check := exec.Command(ofPrometheus(t, "promtool"), "check", "metrics")
	check.Stdin = strings.NewReader(fetch(t, "http://"+address+"/metrics"))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	w.refused([]string{"web", "-c", config, "--http", address}, "--http", "address already in use")
	w.refused([]string{"web", "--http", "9464"}, "--http", "want HOST:PORT, such as 127.0.0.1:9464")
	prometheus.kill()
	exporter.stop()
	p.stop()
}

// scaleInBrowser: a person looks at the page, logs in, has the group grow, and sees it grow.
func (w *world) scaleInBrowser(address string) {
	w.t.Helper()
	token := strings.TrimSpace(w.must("web", "token", "--role", "operator", "person"))
	b := webtest.Open(w.t, "http://"+address+"/")
	b.Until(fmt.Sprintf(`document.title === "%s: 1 of 1 ready – vmscaler"`, w.group))
	b.Until(`document.querySelector("#vms td:nth-child(6)").textContent.match(/^[0-9.]+$/)`) // its address
	b.Click("header", "Log in")
	b.Type("#field-token", token)
	b.Until(`document.querySelector("#who").textContent === "person, operator"`)
	b.Click("#actions", "Scale")
	b.Set("#field-desired", "2")
	b.Type("#field-reason", "a look at the page")
	b.Until(`document.querySelector("#notes").textContent.includes("a look at the page")`)
	b.Until(fmt.Sprintf(`document.title === "%s: 2 of 2 ready – vmscaler"`, w.group))
	b.Until(`document.querySelectorAll("#vms tr").length === 2`)
	b.Picture("scaled-out")
}

// scaleOverHTTP: a program with a token of the right role scales the group, and one without does not.
func (w *world) scaleOverHTTP(address string) {
	w.t.Helper()
	token := strings.TrimSpace(w.must("web", "token", "--role", "operator", "terraform"))
	post := func(token string) (int, string) {
		r, err := http.NewRequest(
			http.MethodPost,
			"http://"+address+"/api/v1/groups/"+w.group+"/scale",
			strings.NewReader(`{"desired": 1}`),
		)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := post("vmscaler_terraform_x"); code != http.StatusUnauthorized {
		w.t.Errorf("without the token: %d %s", code, body)
	}
	if code, body := post(token); code != http.StatusOK || !strings.Contains(body, `"by":"terraform (web)"`) {
		w.t.Errorf("with it: %d %s", code, body)
	}
	if events := fetch(w.t, "http://"+address+"/api/v1/groups/"+w.group+"/events"); !strings.Contains(events, `"terraform (web)"`) {
		w.t.Errorf("the history does not say who: %s", events)
	}
	if why := fetch(w.t, "http://"+address+"/api/v1/groups/"+w.group+"/explain"); !strings.Contains(why, `"why_not"`) {
		w.t.Errorf("explain: %s", why)
	}
}

// TestAlertRules: the rules that come with vmscaler fire when they should.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command(ofPrometheus(t, "promtool"), args...)
		cmd.Dir = "../../../packaging/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// fetch is what a page says.
func fetch(t testing.TB, page string) string {
	t.Helper()
	resp, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s (%v)\n%s", page, resp.Status, err, body)
	}
	return string(body)
}
