package detect

import (
	"strings"
	"testing"
	"time"
)

// TestStampedService says that a stamp is taken off before the frame and the patterns, for a service that has the key, and
// is found; and that another service of the program sees the message as it is.
func TestStampedService(t *testing.T) {
	stamped := strings.Replace(ruleFile("match: ['bad guy <ip:port>']", `samples: [{line: "2026-11-22 10:00:00 UTC e: bad guy 203.0.113.5:40022", ip: 203.0.113.5, port: 40022}, {line: "e: bad guy [2001:db8::5]:1", ip: "2001:db8::5", port: 1}]`), "rules:", "stamp: true\nbefore: ['e: ']\nrules:", 1)
	dir := userRules(t, "stamped.yaml", stamped)
	r := load(t, Options{Directory: dir})
	if _, faults := r.Run(); len(faults) > 0 {
		t.Error(faults)
	}
	var f Finding
	for message, want := range map[string]string{
		"2026-11-22 10:00:00 UTC e: bad guy 203.0.113.5:40022": "2026-11-22T10:00:00Z",
		"bad guy 203.0.113.5:40022":                            "",
	} {
		if v := r.Detect([]byte("mine"), []byte(message), &f); v != Matched {
			t.Fatalf("%q is %s", message, describe(v, &f))
		}
		at, ok := f.Stamp.Time(time.UTC, time.Now())
		if ok != (want != "") || ok && at.Format(time.RFC3339) != want {
			t.Errorf("%q was at %v, %v", message, at, ok)
		}
	}
	if v := r.Detect([]byte("sshd"), []byte("2026-11-22 10:00:00 Invalid user a from 203.0.113.5 port 22"), &f); v != Ignored {
		t.Errorf("sshd has no stamps, and is %s", describe(v, &f))
	}
}
