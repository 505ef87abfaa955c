package daemon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ranks is docs/ARCHITECTURE.md's list of folders: a package imports packages of a lower rank and its own subtree, that as far
// as rooms says.
var ranks = [][]string{
	{"machine"},          // for tests alone
	{"event", "setting"}, // the vocabulary: neither knows the other
	{"receiver"},
	{"detect"},
	{"policy"},
	{"store"},
	{"geoip"},
	{"report"},
	{"web"},
	{"daemon"},
	{"cmd"},
	{"bench"}, // tools that measure from outside; they import nothing of ours
	{"e2e"},   // whole-system tests, from outside as well
}

// rooms are the ranks within a folder, "" for the folder's own package: a room imports rooms of a lower rank.
var rooms = map[string][][]string{
	"receiver": {{""}, {"wire", "receivertest"}, {"journal", "syslog", "tail"}, {"replay"}},
	"detect":   {{"stamp", "rulefile"}, {"parse"}, {"pattern"}, {"packet", "weblog"}, {""}, {"attack"}, {"fail2ban"}},
}

// strangers are pairs that the ranks would allow, each with what would be lost.
var strangers = []struct{ folder, without, reason string }{
	{"detect", "receiver", "detection takes byte slices, so that match, explain and tests feed it without a source"},
	{"policy", "receiver", "policy judges events, whatever they came by"},
	{"policy", "detect", "policy judges events, whatever found them"},
	{"store", "detect", "what was stored must be readable when the rule is gone"},
	{"report", "receiver", "a report is made of what was judged, not of what was read"},
	{"bench", "event", "the tools measure from outside"},
	{"bench", "receiver", "the tools measure from outside"},
	{"bench", "detect", "the tools measure from outside"},
}

// fences says who may import what is not ours. A third-party package without a fence fails the test: a new dependency
// needs a reason here and, unless it is for tests alone, one of docs/adr.
var fences = []struct {
	path   string   // the import path, or its beginning up to a slash
	only   []string // packages of ours, with their subtrees
	tests  bool     // tests of any package may
	reason string
}{
	{path: "C", reason: "no cgo of our own: tattled is static and cross-built"},
	{path: "unsafe", only: []string{"bench/floor", "receiver/syslog"}, tests: true,
		reason: "hostile input is handled in code that the compiler checks; recvmmsg(2) alone is called with pointers"},
	{path: "github.com/coreos/go-systemd/v22/sdjournal", only: []string{"cmd/tattled-journal"},
		reason: "it is cgo, and a truncated journal kills the process that maps it: only the helper may die"},
	{path: "github.com/coreos/go-systemd/v22", only: []string{"daemon", "receiver/syslog"}, reason: "systemd is the daemon's business"},
	{path: "go.etcd.io/bbolt", only: []string{"store/bolt"}, reason: "everything else speaks store.Backend"},
	{path: "github.com/prometheus/client_golang", only: []string{"daemon", "web"}, reason: "packages export counters; daemon/metrics*.go name them"},
	{path: "github.com/prometheus/client_model", tests: true, reason: "tests read /metrics as Prometheus does"},
	{path: "github.com/prometheus/common", only: []string{"daemon", "web"}, reason: "as client_golang"},
	{path: "github.com/prometheus/exporter-toolkit", only: []string{"web"}, reason: "TLS and authentication of the page, see docs/adr"},
	{path: "gopkg.in/mcuadros/go-syslog.v2", only: []string{"receiver/syslog"}, tests: true,
		reason: "its server can be killed from outside: a contract and an oracle, never what a network reaches"},
	{path: "go.yaml.in/yaml/v3", only: []string{"detect/rulefile", "setting/document", "web", "e2e"}, reason: "rules, the configuration and policies, and whether the web configuration file asks who calls; a Config has tags"},
	{path: "github.com/spf13/cobra", only: []string{"cmd"}, reason: "the command line is cmd's"},
	{path: "github.com/klauspost/compress/zstd", only: []string{"cmd/tattled"}, tests: true, reason: "packed logs are for match: a daemon follows files that are written to"},
	{path: "github.com/mikelolasagasti/xz", only: []string{"cmd/tattled"}, reason: "as zstd"},
	{path: "golang.org/x/term", only: []string{"cmd"}, reason: "only a command line has a terminal"},
	{path: "github.com/fsnotify/fsnotify", only: []string{"receiver/tail"}, reason: "a wake-up for files, never the truth"},
	{path: "github.com/oschwald", only: []string{"geoip"}, reason: "the rest of tattled knows event.Place"},
	{path: "github.com/gaissmai/bart", only: []string{"policy", "receiver/syslog", "daemon"}, reason: "networks that are looked up often"},
	{path: "github.com/wneessen/go-mail", only: []string{"report/mail"}, reason: "the rest of tattled knows report.Sender"},
	{path: "golang.org/x/time/rate", only: []string{"report", "receiver"}, reason: "pace of requests and limits of peers"},
	{path: "golang.org/x/sync", only: []string{"receiver", "report", "daemon", "cmd"}, reason: "goroutines that end together, questions that are asked once"},
	{path: "golang.org/x/sys/unix", only: []string{"receiver", "store/bolt", "store/mem", "daemon", "cmd", "e2e"}, reason: "sockets, files and processes"},
	{path: "github.com/google/go-cmp", tests: true, reason: "tests"},
	{path: "github.com/rogpeppe/go-internal", tests: true, reason: "tests"},
	{path: "github.com/maxmind/mmdbwriter", tests: true, reason: "tests"},
	{path: "github.com/emersion/go-smtp", tests: true, reason: "tests"},
	{path: "github.com/emersion/go-sasl", tests: true, reason: "tests"},
	{path: "go.uber.org/goleak", only: []string{"receiver/receivertest"}, tests: true, reason: "tests"},
	{path: "pgregory.net/rapid", only: []string{"store/storetest"}, tests: true, reason: "tests"},
}

// pure are packages without a world: what they do follows from their arguments.
var pure = map[string][]string{
	"event":         {"os", "net", "net/http", "os/exec", "log/slog"},
	"receiver/wire": {"os", "net", "net/http", "os/exec", "log/slog"},
	"policy":        {"os", "net", "net/http", "os/exec", "log/slog"},
}

type listedPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// TestImports holds every package of the tree to the architecture.
func TestImports(t *testing.T) {
	for _, p := range listPackages(t) {
		ours, found := strings.CutPrefix(p.ImportPath, "tattled/")
		if !found {
			t.Errorf("%s lies at the top: every package lives in a folder of docs/ARCHITECTURE.md", p.ImportPath)
			continue
		}
		if rank(top(ours)) < 0 {
			t.Errorf("the folder of %s has no rank: give it one in docs/ARCHITECTURE.md and daemon/imports_test.go", ours)
		}
		if in := rooms[top(ours)]; in != nil && rankIn(in, room(ours)) < 0 {
			t.Errorf("%s has no rank among the rooms of its folder: give it one in docs/ARCHITECTURE.md and daemon/imports_test.go", ours)
		}
		for _, path := range p.Imports {
			if fault := judgeImport(ours, path, false); fault != "" {
				t.Error(fault)
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if fault := judgeImport(ours, path, true); fault != "" {
				t.Errorf("in a test, %s", fault)
			}
		}
	}
}

// TestImportsAreJudged shows that the judge has teeth.
func TestImportsAreJudged(t *testing.T) {
	for _, c := range []struct {
		importer, path string
		test, good     bool
	}{
		{"receiver/tail", "tattled/receiver", false, true},
		{"receiver/tail", "tattled/receiver/wire", false, true},
		{"store", "tattled/store/mem", true, true},
		{"daemon", "tattled/web", false, true},
		{"receiver/syslog", "gopkg.in/mcuadros/go-syslog.v2/format", false, true},
		{"receiver/wire", "gopkg.in/mcuadros/go-syslog.v2/format", true, true},
		{"receiver/wire", "gopkg.in/mcuadros/go-syslog.v2/format", false, false},
		{"event", "tattled/setting", false, false},
		{"detect", "tattled/receiver", false, false},
		{"policy", "tattled/store", false, false},
		{"policy", "os", false, false},
		{"policy", "os", true, true},
		{"web", "tattled/daemon", false, false},
		{"web", "go.etcd.io/bbolt", false, false},
		{"store", "go.etcd.io/bbolt", true, false},
		{"receiver/journal", "github.com/coreos/go-systemd/v22/sdjournal", false, false},
		{"cmd/tattled", "C", false, false},
		{"helpers", "tattled/event", false, false},
		{"web", "example.org/new", false, false},
		{"detect/parse", "tattled/detect/stamp", false, true},
		{"detect", "tattled/detect/weblog", false, true},
		{"detect/fail2ban", "tattled/detect", false, true},
		{"detect/parse", "tattled/detect/pattern", false, false},
		{"detect/pattern", "tattled/detect", false, false},
		{"detect/pattern", "tattled/detect", true, false},
		{"detect/weblog", "tattled/detect/packet", false, false},
		{"detect/stamp", "tattled/detect/rulefile", false, false},
		{"detect/helpers", "tattled/detect/stamp", false, false},
		{"detect", "tattled/detect/fail2ban", true, false},
		{"detect", "tattled/detect/attack", true, false},
		{"detect/attack", "tattled/detect", false, true},
		{"detect/attack", "tattled/detect/fail2ban", true, false},
		{"detect/fail2ban", "tattled/detect/attack", false, true},
		{"detect", "go.yaml.in/yaml/v3", false, false},
		{"receiver/replay", "tattled/receiver/tail", false, true},
		{"receiver/receivertest", "tattled/receiver/receivertest", true, true},
		{"receiver", "tattled/receiver/wire", false, false},
		{"receiver/tail", "tattled/receiver/syslog", false, false},
		{"receiver/wire", "tattled/receiver/receivertest", true, false},
	} {
		if fault := judgeImport(c.importer, c.path, c.test); (fault == "") != c.good {
			t.Errorf("%s imports %s (test: %v): %q", c.importer, c.path, c.test, fault)
		}
	}
}

// judgeImport says what is wrong with an import, "" if nothing is.
func judgeImport(importer, path string, test bool) string {
	if imported, ours := strings.CutPrefix(path, "tattled/"); ours {
		if imported == "machine" && !test {
			return importer + " imports machine, which is for tests"
		}
		return judgeOurs(importer, imported)
	}
	if slices.Contains(pure[importer], path) && !test {
		return fmt.Sprintf("%s imports %s: it is pure, what it needs to know of the world is an argument", importer, path)
	}
	for _, f := range fences {
		if !within(path, f.path) {
			continue
		}
		if test && f.tests || slices.ContainsFunc(f.only, func(folder string) bool { return within(importer, folder) }) {
			return ""
		}
		return fmt.Sprintf("%s imports %s, which only %q may: %s", importer, path, f.only, f.reason)
	}
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
		return fmt.Sprintf("%s imports %s, which no fence knows: give it a reason in daemon/imports_test.go and an ADR", importer, path)
	}
	return ""
}

// judgeOurs holds an import of one of our packages against the ranks.
func judgeOurs(importer, imported string) string {
	from, to := top(importer), top(imported)
	if from == to {
		return judgeRooms(importer, imported)
	}
	high, low := rank(from), rank(to)
	if high < 0 || low < 0 {
		return fmt.Sprintf("%s imports %s: give both folders a rank in docs/ARCHITECTURE.md and daemon/imports_test.go", importer, imported)
	}
	if low >= high {
		return fmt.Sprintf("%s imports %s: imports point to lower ranks only, and %s is not below %s", importer, imported, to, from)
	}
	for _, s := range strangers {
		if s.folder == from && s.without == to {
			return fmt.Sprintf("%s imports %s: %s", importer, imported, s.reason)
		}
	}
	return ""
}

// judgeRooms holds an import within a folder against the ranks of its rooms, if it has any.
func judgeRooms(importer, imported string) string {
	in := rooms[top(importer)]
	if in == nil || importer == imported {
		return ""
	}
	high, low := rankIn(in, room(importer)), rankIn(in, room(imported))
	if high < 0 || low < 0 {
		return fmt.Sprintf("%s imports %s: give both rooms a rank in docs/ARCHITECTURE.md and daemon/imports_test.go", importer, imported)
	}
	if low >= high {
		return fmt.Sprintf("%s imports %s: imports point to rooms of a lower rank only", importer, imported)
	}
	return ""
}

// room is the part of a path below its folder, "" for the folder's own package.
func room(path string) string {
	_, below, _ := strings.Cut(path, "/")
	first, _, _ := strings.Cut(below, "/")
	return first
}

func top(path string) string {
	folder, _, _ := strings.Cut(path, "/")
	return folder
}

// rank returns -1 for a folder without one.
func rank(folder string) int { return rankIn(ranks, folder) }

// rankIn returns -1 for a name without one.
func rankIn(ranks [][]string, name string) int {
	return slices.IndexFunc(ranks, func(names []string) bool { return slices.Contains(names, name) })
}

// within reports whether path is folder or lies below it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// listPackages asks go list about the whole tree, the cgo helper included.
func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "tattled/...")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &complaints)
	}
	var all []listedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			if len(all) == 0 {
				t.Fatal("go list knows no package")
			}
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
