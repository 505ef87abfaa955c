package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// The lines of a log with names in its first column now and then: the second is by a client whose own zone names it an address.
const (
	namedLine   = `crawler.example.org - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`
	pretendLine = `198.51.100.66 - - [22/Nov/2026:10:00:01 +0000] "GET /.env HTTP/1.1" 404 9 "-" "-"`
)

// What a log ends with is seen before its first line is believed, and the operator is told why none is.
func TestPreviewedNames(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	b := &receiver.Batch{Source: "file:/a.log", Stream: "file:/a.log", Received: time.Now()}
	hand := func(line string, trust event.Trust, handle func(*receiver.Batch)) {
		r := record("apache2", line)
		r.Trust = trust
		b.Records = []receiver.Record{r}
		handle(b)
	}
	submit := func(b *receiver.Batch) {
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	hand(namedLine, event.TrustCount, p.Preview)
	if all := p.named.problems(b.Received); len(all) != 0 {
		t.Errorf("a log of which nothing is reported is a problem: %q", all)
	}
	hand(pretendLine, event.TrustReport, submit)
	hand(namedLine, event.TrustReport, p.Preview)
	hand(pretendLine, event.TrustReport, submit)
	if len(out.events) != 2 || !out.events[0].Handshake || out.events[1].Handshake {
		t.Fatalf("want an event that is proven, and after the preview one that is not: %+v", out.events)
	}
	all := p.named.problems(b.Received.Add(namedFor - time.Second))
	if len(all) != 1 || !strings.HasPrefix(all[0].What, "file:/a.log: ") || !strings.Contains(all[0].Remedy, "HostnameLookups Off") {
		t.Errorf("problems: %q", all)
	}
	if all := p.named.problems(b.Received.Add(namedFor)); len(all) != 0 {
		t.Errorf("a day later: %q", all)
	}
}

// check says of a log that it is not believed, by what is in it; and of Apache that it looks names up, which a log does not show
// as long as all of them are addresses.
func TestLookedUpNamesAreWarnedOf(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("logs/sound.log", strings.Repeat(pretendLine+"\n", 1000))
	put("logs/named.log", namedLine+"\n"+strings.Repeat(pretendLine+"\n", 500))
	put("logs/long-ago.log", namedLine+"\n"+strings.Repeat(pretendLine+"\n", 1000))
	put("etc/apache2/apache2.conf", "# HostnameLookups On\nHostnameLookups Off\n")
	put("etc/apache2/sites-enabled/shop.conf", "<VirtualHost *:80>\n\thostnamelookups Double\n</VirtualHost>\n")
	for program, want := range map[string]struct{ named, lookups int }{"apache2": {1, 1}, "nginx": {1, 0}, "sshd": {0, 0}} {
		cfg, err := parseConfig("x.yaml", []byte("sources: {files: [{path: '"+dir+"/logs/*.log', program: "+program+"}]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		named := namedWarnings(cfg, testRules(t))
		if len(named) != want.named || len(named) > 0 && !strings.HasPrefix(named[0], "sources.files[0].path: "+dir+"/logs/named.log: ") {
			t.Errorf("%s: %q", program, named)
		}
		lookups := lookupWarnings(cfg, testRules(t), dir)
		if len(lookups) != want.lookups || len(lookups) > 0 && !strings.HasPrefix(lookups[0], dir+"/etc/apache2/sites-enabled/shop.conf:2: HostnameLookups") {
			t.Errorf("%s: %q", program, lookups)
		}
	}
}
