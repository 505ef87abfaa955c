package daemon

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// Whoever tries passwords in the corpus of attackers that the benchmarks use is reported no later than at the fifth within ten
// minutes. (Its attackers come from ranges that nobody reports: they get public addresses here.)
func TestAttackersOfTheCorpus(t *testing.T) {
	corpus := filepath.Join(t.TempDir(), "auth.log")
	if out, err := exec.CommandContext(t.Context(), "go", "run", "tattled/bench/gen", "-kind", "auth", "-n", "300000", "-o", corpus).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(corpus)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reported := map[string]bool{}
	h := newHonest(t, func(r event.Report) { reported[policy.Key(r.Addr).String()] = true })
	public := strings.NewReplacer("198.18.", "45.148.", "198.19.", "45.149.", "203.0.113.", "45.150.0.", "2001:db8:", "2a02:6b8:")
	parser := wire.NewParser(time.UTC)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	passwords := map[string][]time.Time{} // of an address, in the last ten minutes
	due, attackers := 0, map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		r := receiver.Record{Trust: event.TrustReport}
		parser.Parse([]byte(public.Replace(lines.Text())), now, &r)
		if err := h.pipeline.Handle(t.Context(), &receiver.Batch{Source: "file:/var/log/auth.log", Received: r.Time, Records: []receiver.Record{r}}); err != nil {
			t.Fatal(err)
		}
		finding := h.last
		if finding == nil || finding.Kind != event.AuthFailure {
			continue
		}
		who := policy.Key(finding.Addr).String()
		attackers[who] = true
		if finding.Rule != "failed-password" && finding.Rule != "pam" {
			continue
		}
		tries := append(passwords[who], finding.Time)
		for tries[0].Before(finding.Time.Add(-10 * time.Minute)) {
			tries = tries[1:]
		}
		if passwords[who] = tries; len(tries) >= 5 {
			if due++; !reported[who] {
				t.Fatalf("%s is not reported at password %d within ten minutes", who, len(tries))
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d attackers are reported; %d times somebody was at five passwords", len(reported), len(attackers), due)
	if due < 1000 || len(reported) < 100 {
		t.Errorf("%d times somebody was at five passwords, %d reported: the corpus is too small to tell anything", due, len(reported))
	}
}
