package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	// maxAnswer bounds what is read of an answer. One number has a few hundred bytes, and each series of a query that
	// answers several has as many.
	maxAnswer = 64 << 10
	// maxToken bounds what is read of a file with a token.
	maxToken = 16 << 10
	// fewSeries is how many series a server is asked for: one more than are wanted, so that several are noticed. Those before
	// Prometheus 3 give all.
	fewSeries = "2"
)

// RefusedError is what a server that answers says against a query, or what its answer is in place of one number.
type RefusedError struct{ Why string }

func (e RefusedError) Error() string { return e.Why }

// Ask asks a query once, and returns its answer: one number from 0 to bus.MaxMetric. The error is a RefusedError where the
// server is there and the query is to be changed.
func Ask(ctx context.Context, q bus.Prometheus) (float64, error) {
	client, err := clientOf(q)
	if err != nil {
		return 0, err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeoutCause(ctx, q.Timeout, fmt.Errorf("no answer within %s (timeout)", q.Timeout))
	defer cancel()
	body, err := post(ctx, client, q)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return 0, fmt.Errorf("ask %s: %w", q.URL, err)
	}
	return parse(body)
}

// clientOf is for one request: files of certificates may change between two.
func clientOf(q bus.Prometheus) (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if q.CA != "" {
		pem, err := os.ReadFile(q.CA)
		if err != nil {
			return nil, fmt.Errorf("prometheus.ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("prometheus.ca: %s has no certificate in PEM", q.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport: transport,
		// A token, and headers that may be as secret, are for the address that the config names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func post(ctx context.Context, client *http.Client, q bus.Prometheus) ([]byte, error) {
	form := url.Values{"query": {q.Query}, "limit": {fewSeries}, "timeout": {q.Timeout.String()}}
	address := strings.TrimSuffix(q.URL, "/") + "/api/v1/query"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "vmscaler")
	for _, h := range q.Headers {
		req.Header.Set(h.Name, h.Value)
	}
	if q.TokenFile != "" {
		token, err := readToken(q.TokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) { // its address is said already
			err = of.Err
		}
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode/100 == 3:
		return nil, fmt.Errorf("it sends on to %q: put the address that answers into prometheus.url", res.Header.Get("Location"))
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, RefusedError{fmt.Sprintf(
			"the answer has more than %d KiB: want one number, as of sum(...) or max(...)", maxAnswer>>10)}
	case res.StatusCode/100 != 2 && !json.Valid(body): // of something before Prometheus, or of something else
		return nil, fmt.Errorf("it says %s: %s", res.Status, bus.Clip(strings.Join(strings.Fields(string(body)), " "), 200))
	}
	return body, nil
}

func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("prometheus.token_file: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	token := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", fmt.Errorf("prometheus.token_file: %w", err)
	case token == "" || len(data) > maxToken || strings.ContainsAny(token, "\r\n"):
		return "", fmt.Errorf("prometheus.token_file: %s has no token in one line of up to %d KiB", path, maxToken>>10)
	}
	return token, nil
}

// answer is what the HTTP API says to an instant query: https://prometheus.io/docs/prometheus/latest/querying/api/
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
}

// parse is the number of an answer: a scalar, or the sample of a vector of one series.
func parse(body []byte) (float64, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.Status == "" {
		return 0, errors.New("the answer is not that of Prometheus's HTTP API")
	}
	if a.Status != "success" {
		return 0, RefusedError{bus.Clip("Prometheus says: "+a.Error, 500)}
	}
	var sample []any
	switch a.Data.Type {
	case "scalar":
		if err := json.Unmarshal(a.Data.Result, &sample); err != nil {
			return 0, fmt.Errorf("the answer's scalar: %w", err)
		}
	case "vector":
		var series []struct {
			Value []any `json:"value"`
		}
		if err := json.Unmarshal(a.Data.Result, &series); err != nil {
			return 0, fmt.Errorf("the answer's vector: %w", err)
		}
		switch len(series) {
		case 0:
			return 0, RefusedError{"the query answers nothing: there is no such series now"}
		case 1:
			sample = series[0].Value
		default:
			return 0, RefusedError{"the query answers several series: want one, as of sum(...) or max(...)"}
		}
	default:
		return 0, RefusedError{fmt.Sprintf("the query answers a %s: want one number", bus.Clip(a.Data.Type, 40))}
	}
	return number(sample)
}

// number is the value of a pair of time and value.
func number(sample []any) (float64, error) {
	if len(sample) != 2 {
		return 0, RefusedError{"the query answers no number, such as a histogram"}
	}
	text, is := sample[1].(string)
	if !is {
		return 0, errors.New("the answer's value is no string, as it is in Prometheus's HTTP API")
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the answer's value: %w", err)
	}
	if err := bus.CheckMetricValue(v); err != nil { // neither NaN nor Inf, as of a division by 0
		return 0, RefusedError{"the query answers no usable number: " + err.Error()}
	}
	return v, nil
}
