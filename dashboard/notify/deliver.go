package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	webhook "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/wneessen/go-mail"
)

// How long one try may take.
const (
	requestWithin = 15 * time.Second
	commandWithin = 30 * time.Second
)

const (
	maxAnswer  = 64 << 10 // bytes of an answer that are read
	maxSubject = 120      // characters of an e-mail's
)

// deliver tells a target once. An error that is [backoff.Permanent] will not go away. No error has a secret.
func (t Target) deliver(ctx context.Context, client *http.Client, m Message) error {
	switch t.Type {
	case JSON, Slack, Matrix, Alertmanager:
		return t.post(ctx, client, m)
	case Email:
		return t.mail(ctx, m)
	case Command:
		return t.run(ctx, m)
	default:
		return backoff.Permanent(fmt.Errorf("type %q is not known", t.Type))
	}
}

// newClient follows no redirect, which could lead the token elsewhere.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       requestWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (t Target) post(ctx context.Context, client *http.Client, m Message) error {
	to := t.URL
	if t.URLFile != "" {
		var err error
		if to, err = readSecret(t.URLFile); err != nil {
			return err
		}
		if err := CheckURL(to); err != nil {
			return fmt.Errorf("url_file %s: %w", t.URLFile, err)
		}
	}
	r, err := requestOf(t.Type, to, m)
	if err != nil {
		return backoff.Permanent(err)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return backoff.Permanent(errors.New("its URL is wrong"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "vmscaler")
	if err := t.sign(req, r.body, m); err != nil {
		return err
	}
	answer, err := client.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err // without the URL
	}
	if err != nil {
		return err //nolint:wrapcheck // cannot be
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	return judge(answer)
}

// judge is what an answer means: what the receiver will never take is not tried again.
func judge(answer *http.Response) error {
	err := fmt.Errorf("it answers %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if seconds, parsed := strconv.Atoi(answer.Header.Get("Retry-After")); parsed == nil && seconds > 0 {
			return errors.Join(err, backoff.RetryAfter(min(seconds, int(maxPause.Seconds()))))
		}
		return err
	case code >= 500, code == http.StatusRequestTimeout:
		return err
	}
	return backoff.Permanent(err)
}

// sign adds the token, and the headers of the Standard Webhooks specification.
func (t Target) sign(req *http.Request, body []byte, m Message) error {
	if t.TokenFile != "" {
		token, err := readSecret(t.TokenFile)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if t.SecretFile == "" {
		return nil
	}
	secret, err := readSecret(t.SecretFile)
	if err != nil {
		return err
	}
	signer, err := webhook.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("secret_file %s: want a key in base64, with or without whsec_ before it", t.SecretFile)
	}
	now := time.Now()
	signature, err := signer.Sign(m.ID, now, body)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	req.Header.Set("Webhook-Id", m.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	return nil
}

// mail hands an e-mail to sendmail, which queues it and tries again by itself.
func (t Target) mail(ctx context.Context, m Message) error {
	msg := mail.NewMsg()
	if err := msg.From(t.From); err != nil {
		return backoff.Permanent(fmt.Errorf("from: %w", err))
	}
	if err := msg.To(t.To...); err != nil {
		return backoff.Permanent(fmt.Errorf("to: %w", err))
	}
	subject := []rune(m.Text)
	msg.Subject("[vmscaler] " + string(subject[:min(len(subject), maxSubject)]))
	msg.SetDate()
	msg.SetMessageIDWithValue(m.ID + "@vmscaler")
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	text := m.Text + "\n\n"
	for _, fact := range [][2]string{
		{"kind", string(m.Kind)},
		{"group", m.Group},
		{"VM", m.VM},
		{"host", m.Host},
		{"stage", m.Stage},
		{"time", m.Time.Format(time.RFC3339)},
	} {
		if fact[1] != "" {
			text += fact[0] + ": " + fact[1] + "\n"
		}
	}
	msg.SetBodyString(mail.TypeTextPlain, text)
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return backoff.Permanent(fmt.Errorf("write the e-mail: %w", err))
	}
	return run(ctx, exec.Command(t.Sendmail, "-i", "-t"), b.Bytes())
}

// run runs the command, with the message in its environment and on its standard input.
func (t Target) run(ctx context.Context, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return backoff.Permanent(fmt.Errorf("encode: %w", err))
	}
	cmd := exec.Command("/bin/sh", "-c", t.Command)
	cmd.Env = append(os.Environ(),
		"VMSCALER_KIND="+string(m.Kind), "VMSCALER_SEVERITY="+string(m.Severity), "VMSCALER_GROUP="+m.Group, "VMSCALER_VM="+m.VM,
		"VMSCALER_HOST="+m.Host, "VMSCALER_STAGE="+m.Stage, "VMSCALER_TEXT="+m.Text, "VMSCALER_COUNT="+strconv.Itoa(m.Count),
		"VMSCALER_TIME="+m.Time.Format(time.RFC3339), "VMSCALER_ID="+m.ID)
	return run(ctx, cmd, append(body, '\n'))
}

// run runs a command in a process group of its own, and kills all of that when it takes too long. What it prints is not
// kept: it may have a secret.
func run(ctx context.Context, cmd *exec.Cmd, input []byte) error {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	cmd.Stdin = bytes.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err //nolint:wrapcheck // names the command
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended //nolint:errcheck // it was killed
		return fmt.Errorf("its command takes longer than %s", commandWithin)
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("its command: %w", err)
	}
	return nil
}
