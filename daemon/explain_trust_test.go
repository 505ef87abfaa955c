package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"tattled/event"
)

// What is explained of a source is the trust that its receiver gives.
func TestExplainedTrust(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tattled.yaml")
	const text = `
sources:
  files:
    - {path: /var/log/a.log}
    - {path: /var/log/b.log, trust: count}
  syslog:
    - {listen: "udp://127.0.0.1:5514"}
    - {listen: "tcp://127.0.0.1:5514"}
    - {listen: "tcp://127.0.0.1:5515", trust: report}
    - {listen: "tcp://0.0.0.0:514", allow: [192.0.2.0/24]}
    - {listen: "udp://0.0.0.0:514", allow: [192.0.2.0/24]}
    - {listen: "unix:///run/tattled/log"}
    - {listen: "unix:///run/tattled/lines", datagrams: lines}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x, err := NewExplainer(path)
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]event.Trust{
		"": event.TrustReport, "journal": event.TrustReport, "/var/log/a.log": event.TrustReport, "/var/log/b.log": event.TrustCount,
		"udp://127.0.0.1:5514": event.TrustCount, "tcp://127.0.0.1:5514": event.TrustCount, "tcp://127.0.0.1:5515": event.TrustReport,
		"tcp://0.0.0.0:514": event.TrustReport, "udp://0.0.0.0:514": event.TrustCount,
		"unix:///run/tattled/log": event.TrustReport, "unix:///run/tattled/lines": event.TrustCount,
	} {
		got, condition := x.Trust(source)
		if got != want {
			t.Errorf("%q: %v, want %v", source, got, want)
		}
		if byPeer := source == "tcp://0.0.0.0:514" || source == "unix:///run/tattled/log"; (condition != "") != byPeer {
			t.Errorf("%q: it is trusted if %q", source, condition)
		}
	}
}
