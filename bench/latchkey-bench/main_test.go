package main

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/bench/peer"
	"latchkey/bench/report"
	"latchkey/bench/server"
)

// TestMain lets a test start its servers as the command does: by running its own program once more.
func TestMain(m *testing.M) {
	if server.IsServer(os.Args) {
		os.Exit(server.Main(os.Args))
	}
	os.Exit(m.Run())
}

// Every scenario measures each of its systems, with real servers and nodes, and the results can be
// shown. The test does not judge the figures.
func TestEveryScenario(t *testing.T) {
	if missing := peer.Missing(); len(missing) > 0 {
		t.Fatalf("install %s: make bench-deps", strings.Join(missing, " "))
	}
	t.Setenv(pinned, "0") // this process does not start again on other CPUs
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	out := t.TempDir()
	if err := measure(ctx, options{rounds: 1, out: out, root: "../..", commit: "abc",
		small: true}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.ReadJSON(f)
	if _ = f.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"tap": {gatewayName, "mqtt", "mqtt, synced", "floor", transportName, "go-coap",
			"go-coap-dtls2", "libcoap-gnutls", "libcoap-openssl"},
		"cold": {gatewayName, transportName, "go-coap", "go-coap-dtls2", "libcoap-gnutls",
			"libcoap-openssl"},
		"handshake": {gatewayName, transportName, "go-coap", "go-coap-dtls2", "libcoap-gnutls",
			"libcoap-openssl"},
		"throughput": {"floor", gatewayName, transportName, "go-coap", "go-coap, tuned", "go-coap-dtls2",
			"libcoap-gnutls", "libcoap-openssl"},
		"idle": {gatewayName, transportName, "go-coap", "go-coap-dtls2", "libcoap-gnutls",
			"libcoap-openssl"},
		"loss":  {gatewayName + ", tap to verdict", "go-coap, round trip", "libcoap-gnutls, round trip"},
		"fleet": {gatewayName + ", tap to verdict", gatewayName + ", tap to relay"},
		"store": {"floor", gatewayName, gatewayName + ", admit", gatewayName + ", append"},
		"bytes": {gatewayName, "go-coap", "go-coap-dtls2", "libcoap-gnutls", "libcoap-openssl", "mqtt",
			"https"},
		"restart": {gatewayName},
		"flood":   {gatewayName, transportName, "go-coap", "libcoap-gnutls", "libcoap-openssl"},
		"outside": {gatewayName + ", webhook", gatewayName + ", mqtt", gatewayName + ", nats",
			gatewayName + ", amqp091", gatewayName + ", amqp10"},
	}
	if len(r.Scenarios) != len(want) {
		t.Errorf("got %d scenarios, want %d", len(r.Scenarios), len(want))
	}
	for _, s := range r.Scenarios {
		for _, system := range want[s.Name] {
			if !slices.ContainsFunc(s.Figures, func(f report.Figure) bool { return f.System == system }) {
				t.Errorf("%s: no figure of %s", s.Name, system)
			}
		}
		for _, f := range s.Figures {
			if len(f.Rounds) != 1 {
				t.Errorf("%s, %s, %s, %s: %d rounds, want one", s.Name, f.Case, f.System, f.Metric,
					len(f.Rounds))
			}
			// "loss" loses packets on purpose. "fleet" and "restart" tap at a fixed rate even if the
			// machine is too slow, and a tap that is late is refused.
			fails := slices.Contains([]string{"loss", "fleet", "restart"}, s.Name)
			if f.Metric == "p50" && f.Rounds[0] <= 0 || f.Metric == "failed" && !fails && f.Rounds[0] != 0 {
				t.Errorf("%s, %s, %s: %s is %v", s.Name, f.Case, f.System, f.Metric, f.Rounds[0])
			}
		}
	}
	for _, name := range []string{"overview.png", "tap_latency.png"} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err == nil {
			_, err = png.Decode(bytes.NewReader(b))
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil || !bytes.Contains(page, []byte("Not measured")) ||
		!bytes.Contains(page, []byte("libcoap 4.")) {
		t.Errorf("README.md: %v:\n%s", err, page)
	}
	if bytes.Contains(page, []byte("not explained yet")) {
		t.Errorf("a figure is worse than a peer's, and no sentence says why:\n%s", page)
	}
	if err := showAgain(filepath.Join(out, "result.json")); err != nil {
		t.Error(err)
	}
}

func TestBadFlags(t *testing.T) {
	for _, o := range []options{{rounds: -1}, {rounds: 101}, {only: "tap,none"}} {
		if err := measure(t.Context(), o); err == nil {
			t.Errorf("%+v: got no error", o)
		}
	}
	if err := showAgain(filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("a result that does not exist: got no error")
	}
}
