package main

import (
	"slices"
	"testing"
)

// TestUnknownVariables: a variable that looks like a setting and is none is not passed over.
func TestUnknownVariables(t *testing.T) {
	got := unknownVariables([]string{
		"VMSCALER_STATEDIR=/x", "VMSCALER_STATE_DIR=/x", "VMSCALER_HOOK=launch", "VMSCALER_FILE=x",
		"VMSCALER_TEST_LOCK=1", "HOME=/", "VMSCALERX=1", "VMSCALER_URL=nats://x", "VMSCALER_COLOR=1",
	})
	want := []string{
		"VMSCALER_STATEDIR in the environment is no setting; did you mean VMSCALER_STATE_DIR?",
		"VMSCALER_URL in the environment is no setting; did you mean VMSCALER_URI?",
		"VMSCALER_COLOR in the environment is no setting; there are VMSCALER_BUS_LISTEN, VMSCALER_BUS_TAPS, VMSCALER_CONFIG, " +
			"VMSCALER_CONTEXT, VMSCALER_HTTP, " +
			"VMSCALER_NATS_CA, VMSCALER_NATS_CERT, VMSCALER_NATS_CREDS, VMSCALER_NATS_KEY, VMSCALER_NATS_NKEY, VMSCALER_NATS_URL, " +
			"VMSCALER_STATE_DIR, VMSCALER_TLS_CERT, VMSCALER_TLS_KEY, VMSCALER_URI",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
