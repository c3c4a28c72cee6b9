package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// request is what a webhook is sent.
type request struct {
	method, url string
	body        []byte
}

// requestOf is a message in the form that a type of webhook wants.
func requestOf(t Type, url string, m Message) (request, error) {
	r := request{method: http.MethodPost, url: url}
	var body any
	switch t {
	case JSON:
		body = m
	case Slack:
		body = map[string]string{"text": slackText(m)}
	case Matrix:
		// The ID keeps a message that is sent again from being shown again.
		r.method, r.url = http.MethodPut, strings.TrimSuffix(url, "/")+"/"+m.ID
		body = map[string]string{"msgtype": "m.text", "body": "vmscaler: " + m.Text}
	case Alertmanager:
		body = []alert{alertOf(m)}
	case Email, Command:
		return r, errors.New("it is no webhook")
	default:
		return r, fmt.Errorf("type %q is not known", t)
	}
	var err error
	r.body, err = json.Marshal(body)
	return r, err //nolint:wrapcheck // it cannot fail for these
}

// slackText is the text with what Slack would take for a link or a mention made harmless.
func slackText(m Message) string {
	marks := map[Severity]string{Info: ":information_source:", Warning: ":warning:", Critical: ":rotating_light:"}
	text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(m.Text)
	return marks[m.Severity] + " vmscaler: " + text
}

// alert is one of Alertmanager's API v2.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      *time.Time        `json:"endsAt,omitempty"`
}

// alertFor is for how long an event fires: it has no end of its own.
const alertFor = 5 * time.Minute

// alertOf is a message as an alert. A problem fires until it is solved: Alertmanager knows it by its labels, and resolves it by
// itself unless it hears of it again, so that it is given a day.
func alertOf(m Message) alert {
	labels := map[string]string{"alertname": "vmscaler_" + string(m.Kind), "severity": string(m.Severity)}
	for name, value := range map[string]string{
		"group": m.Group, "vm": m.VM, "host": m.Host, "stage": m.Stage, "instance": m.Instance,
	} {
		if value != "" {
			labels[name] = value
		}
	}
	a := alert{Labels: labels, Annotations: map[string]string{"summary": m.Text}, StartsAt: m.Time}
	end := m.Time.Add(alertFor)
	switch m.Kind { //nolint:exhaustive // the others are events
	case Problem:
		end = m.Time.Add(24 * time.Hour)
	case Solved:
		labels["alertname"], labels["severity"] = "vmscaler_"+string(Problem), string(Problem.Severity())
		end = m.Time
	}
	a.EndsAt = &end
	return a
}
