// Package alerts judges packaging/prometheus and the pages about it: by Debian's promtool, by what tattled's metrics are called,
// and by faults that are really made of a real daemon, which a real Prometheus scrapes.
package alerts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tattled/machine"
)

const (
	root      = "../.."
	rulesFile = root + "/packaging/prometheus/tattled.rules.yml"
	scrape    = root + "/packaging/prometheus/tattled.scrape.yml"
	runbook   = "file:///usr/share/doc/tattled/docs/troubleshooting.md#"
)

// rule is a recording or an alerting rule.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

// readRules returns all rules of the packaged file.
func readRules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	decode(t, rulesFile, &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", rulesFile)
	}
	return all
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// promtool runs Debian's, and fails the test with what it says unless all is well.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	lackTools(t, "promtool")
	out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func lackTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			machine.Lacks(t, name, " (tools/need test installs it)")
		}
	}
}

// promtool finds no fault with the rules, and each alert fires, is quiet and ends when the tests of packaging say so.
func TestPromtool(t *testing.T) {
	promtool(t, "check", "rules", rulesFile)
	files, err := filepath.Glob(root + "/packaging/prometheus/test/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no tests of rules: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			promtool(t, "test", "rules", file)
		})
	}
}

// Of each alert there is a test in which it does not fire, fires with its severity, summary, description and runbook, and ends.
func TestEveryAlertIsTested(t *testing.T) {
	quiet, fires, ends := map[string]bool{}, map[string]bool{}, map[string]bool{}
	files, _ := filepath.Glob(root + "/packaging/prometheus/test/*.yml")
	for _, path := range files {
		var file struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string
					ExpAlerts []any `yaml:"exp_alerts"`
				} `yaml:"alert_rule_test"`
			}
		}
		decode(t, path, &file)
		for _, test := range file.Tests {
			fired := map[string]bool{}
			for _, at := range test.AlertRuleTest {
				switch name := at.Alertname; {
				case len(at.ExpAlerts) > 0:
					fires[name], fired[name] = true, true
				case fired[name]:
					ends[name] = true
				default:
					quiet[name] = true
				}
			}
		}
	}
	for _, r := range readRules(t) {
		if r.Alert != "" && (!quiet[r.Alert] || !fires[r.Alert] || !ends[r.Alert]) {
			t.Errorf("%s: tested quiet %v, firing %v, ending %v", r.Alert, quiet[r.Alert], fires[r.Alert], ends[r.Alert])
		}
	}
}

// Each alert says how bad it is, what is wrong, with the values, and where to read on; that section is there, and no other.
func TestAlertsAreExplained(t *testing.T) {
	sections := anchors(t, root+"/docs/troubleshooting.md")
	known := map[string]bool{}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		known[strings.ToLower(r.Alert)] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if got, want := r.Annotations["runbook_url"], runbook+strings.ToLower(r.Alert); got != want {
			t.Errorf("%s: the runbook is %q, want %q", r.Alert, got, want)
		}
		if !sections[strings.ToLower(r.Alert)] {
			t.Errorf("docs/troubleshooting.md has no section %s", r.Alert)
		}
	}
	for name := range sections {
		if strings.HasPrefix(name, "tattled") && !known[name] {
			t.Errorf("docs/troubleshooting.md has a section %s, and there is no such alert", name)
		}
	}
}

// Links within the pages lead to headings that are there.
func TestAnchors(t *testing.T) {
	link := regexp.MustCompile(`\]\(([a-z-]*\.?(?:md)?)#([^)]+)\)`)
	for _, page := range []string{"troubleshooting.md", "prometheus.md"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to := m[1]
			if to == "" {
				to = page
			}
			if !anchors(t, filepath.Join(root, "docs", to))[m[2]] {
				t.Errorf("docs/%s: %s has no heading #%s", page, to, m[2])
			}
		}
	}
}

// anchors returns the names by which the headings of a page can be reached, made as GitHub does.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	odd := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			all[strings.ReplaceAll(odd.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")] = true
		}
	}
	return all
}

// Rules ask for metrics that tattled has, with labels that those have, and for nothing that nobody records.
func TestRulesAskForMetricsThatAreThere(t *testing.T) {
	metrics := readMetrics(t)
	rules := readRules(t)
	for _, r := range rules {
		if r.Record != "" {
			metrics[r.Record] = nil
		}
	}
	name := regexp.MustCompile(`(?:\b[a-z]+:)?\btattled[a-z0-9_:]*`)
	literal := regexp.MustCompile(`"[^"]*"`)
	label := regexp.MustCompile(`([a-z_]+)\s*(?:=~|!=|=)\s*["']`)
	selector := regexp.MustCompile(`((?:\b[a-z]+:)?\btattled[a-z0-9_:]*)\{([^}]*)\}`)
	for _, r := range rules {
		texts := []string{r.Expr}
		for _, a := range r.Annotations {
			if strings.Contains(a, "query") {
				texts = append(texts, a[strings.Index(a, "{{"):])
			}
		}
		for _, found := range name.FindAllString(literal.ReplaceAllString(r.Expr, ""), -1) {
			if _, ok := metrics[strings.TrimSuffix(found, "_bucket")]; !ok {
				t.Errorf("%s%s: there is no metric %s", r.Record, r.Alert, found)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
			labels, ok := metrics[m[1]]
			if !ok {
				t.Errorf("%s%s: there is no metric %s", r.Record, r.Alert, m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if labels != nil && !slices.Contains(append(labels, "job", "instance"), l[1]) {
					t.Errorf("%s%s: %s has no label %s, it has %v", r.Record, r.Alert, m[1], l[1], labels)
				}
			}
		}
	}
}

// readMetrics returns the labels of each metric, by the page that daemon's test holds the code to.
func readMetrics(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	quoted := regexp.MustCompile("`([a-z_]+)`:")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		if name, ok := strings.CutPrefix(cells[0], "| `tattled_"); ok && len(cells) > 4 {
			labels := []string{}
			for _, m := range quoted.FindAllStringSubmatch(cells[3], -1) {
				labels = append(labels, m[1])
			}
			all["tattled_"+strings.TrimSuffix(name, "`")] = labels
		}
	}
	if len(all) == 0 {
		t.Fatal("docs/metrics.md has no metrics")
	}
	return all
}

// The scrape file is taken as it is by Prometheus 2.43 and later, and its job by the list of an older one.
func TestScrapeFile(t *testing.T) {
	dir := t.TempDir()
	copyFile(t, rulesFile, dir+"/tattled.rules.yml")
	copyFile(t, scrape, dir+"/tattled.scrape.yml")
	var file struct {
		ScrapeConfigs []any `yaml:"scrape_configs"`
	}
	decode(t, scrape, &file)
	if len(file.ScrapeConfigs) != 1 {
		t.Fatalf("%d jobs, want one", len(file.ScrapeConfigs))
	}
	named := "rule_files: [tattled.rules.yml]\nscrape_config_files: [tattled.scrape.yml]\n"
	if !knowsScrapeFiles(t) { // the same file as the whole configuration shows that an old one knows each of its settings
		text, err := os.ReadFile(scrape)
		if err != nil {
			t.Fatal(err)
		}
		named = "rule_files: [tattled.rules.yml]\n" + string(text)
	}
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(named), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "config", dir+"/prometheus.yml")
}

// knowsScrapeFiles says whether this machine's Prometheus is of 2.43 or later.
func knowsScrapeFiles(t *testing.T) bool {
	t.Helper()
	var major, minor int
	out := promtool(t, "--version")
	if _, err := fmt.Sscanf(out, "promtool, version %d.%d", &major, &minor); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return major > 2 || minor >= 43
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
