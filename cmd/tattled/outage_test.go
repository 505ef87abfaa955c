package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
	"tattled/setting"
)

// The real daemon against an API that fails in one way after the other while attackers go on (ten minutes with
// TATTLED_FULL=1): all of them are reported once, within a minute after the end, and meanwhile nobody asks twice a second.
func TestOutageInRealTime(t *testing.T) {
	besideOthers(t)
	each := 700 * time.Millisecond
	if full() {
		each = 86 * time.Second
	}
	faults := []double.Fault{
		{Mode: double.Internal}, {Mode: double.BadGateway}, {Mode: double.Revoked}, {Mode: double.Garbage}, {Mode: double.Drop},
		{Mode: double.Delay, Delay: setting.Duration(time.Hour)}, {Mode: double.Slow, Delay: setting.Duration(5 * time.Millisecond)},
	}
	d, url := newDouble(t)
	dir := t.TempDir()
	p := startReporting(t, "run", "--config", write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources: {files: [{path: %s/auth.log, start: beginning}]}
policy_defaults: false
policy: [{name: any, when: {kind: [auth-failure]}, threshold: 1, do: [report]}]
report: {abuseipdb: {url: %q, timeout: 2s}}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
`, dir, url, dir))).ready()
	attackers := 0
	attack := func() {
		t.Helper()
		appendLines(t, dir+"/auth.log", []string{sshLine(attacker(attackers), attackers)}, 10_000+attackers)
		attackers++
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, fault := range faults {
		d.SetFaults(fault)
		for end := time.After(each); ; {
			select {
			case <-tick.C:
				if attackers < 500 { // at ten a second, what waits is through within the minute
					attack()
				}
				continue
			case <-end:
			}
			break
		}
	}
	failing := d.Requests()
	d.SetFaults()
	over := time.Now()
	eventually(t, time.Minute, "all attackers to be reported", func() bool { return len(reported(d)) >= attackers })
	took := time.Since(over)
	p.settled()
	p.balanced()
	p.stop()
	addresses := reported(d)
	if unique := slices.Compact(slices.Clone(addresses)); len(unique) != attackers || len(addresses) != attackers {
		t.Errorf("%d attackers: %d reports of %d addresses", attackers, len(addresses), len(unique))
	}
	closest := time.Duration(1<<63 - 1)
	for i := 1; i < len(failing); i++ {
		if failing[i-1].Status != 200 {
			closest = min(closest, failing[i].At.Sub(failing[i-1].At))
		}
	}
	if closest < 900*time.Millisecond {
		t.Errorf("a request came %v after one that failed", closest)
	}
	t.Logf("figure: row 3: %d kinds of outage of %v each in real time: %d attackers, each reported once, the last %.1f s after the end; %d requests meanwhile, after a failure never sooner than %v",
		len(faults), each, attackers, took.Seconds(), len(failing), closest.Round(10*time.Millisecond))
}
