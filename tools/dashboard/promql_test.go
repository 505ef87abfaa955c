package main

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/prometheus/promql/parser"
)

// metric is what tattled exposes: counter, gauge or histogram, and what the documentation says of the values of each label.
type metric struct {
	kind   string
	labels map[string]string
}

// registry is all of it. docs/metrics.md is made from the registry, and a test of the daemon keeps both equal; the client library says what is
// known of a process, and Prometheus itself whether it got an answer.
func registry(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]metric{"up": {"gauge", map[string]string{"instance": "", "job": ""}}}
	for _, m := range regexp.MustCompile("(?m)^\\| `(tattled_\\w+)` \\| (\\w+) \\| [^|]* \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		known[m[1]] = metric{m[2], map[string]string{"instance": "", "job": ""}}
		for _, l := range regexp.MustCompile("`(\\w+)`: ([^;]*)").FindAllStringSubmatch(m[3], -1) {
			known[m[1]].labels[l[1]] = l[2]
		}
	}
	if len(known) < 40 {
		t.Fatalf("only %d metrics are known", len(known))
	}
	descs := make(chan *prometheus.Desc, 1000)
	collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}).Describe(descs)
	close(descs)
	for d := range descs {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]
		known[name] = metric{"gauge", known["up"].labels}
		if strings.HasSuffix(name, "_total") {
			known[name] = metric{"counter", known["up"].labels}
		}
	}
	return known
}

// find returns a metric, or that of a histogram of which name is a part.
func find(known map[string]metric, name string) (metric, bool) {
	if m := known[strings.TrimSuffix(name, "_bucket")]; m.kind == "histogram" {
		labels := maps.Clone(m.labels)
		if strings.HasSuffix(name, "_bucket") {
			labels["le"] = ""
		}
		return metric{m.kind, labels}, true
	}
	m, found := known[name]
	return m, found
}

// eachExpr calls f for all expressions of a dashboard, and what they are for.
func eachExpr(d dashboard, f func(what, expr, legend string, instant bool)) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			f(d.UID+", "+p.Title+", "+target.RefID, target.Expr, target.LegendFormat, target.Instant)
		}
	}
	for _, a := range d.Annotations.List {
		f(d.UID+", annotation "+a.Name, a.Expr, a.TitleFormat, false)
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			selector, label := labelValues(v.Definition)
			if strings.Contains(selector, "_total") {
				selector = "increase(" + selector + "[$__range])"
			}
			f(d.UID+", variable "+v.Name, "sum by ("+label+") ("+selector+")", "", false)
		}
	}
}

// views are choices that people make: everything, one, several, and names with characters that mean something.
func views() map[string]view {
	to := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	base := view{from: to.Add(-6 * time.Hour), to: to, scrape: 15 * time.Second, points: 400, known: map[string][]string{"job": {"tattled"}}}
	one, several, short := base, base, base
	one.chosen = map[string][]string{"instance": {"192.0.2.10:9817"}, "reporter": {"web1"}, "service": {"sshd"}, "job": {"tattled"}}
	several.chosen = map[string][]string{"instance": {"[2001:db8::1]:9817", "a.example.org"}, "reporter": {`a\b`, "x|y"}, "service": {"web-access", "sshd"}, "job": {"a+b", "c*"}}
	short.from = to.Add(-time.Minute)
	return map[string]view{"all": base, "one": one, "several": several, "a minute": short}
}

// Prometheus' own parser takes every expression, whatever is chosen.
func TestParser(t *testing.T) {
	promql := parser.NewParser(parser.Options{})
	for _, d := range dashboards() {
		eachExpr(d, func(what, raw, _ string, _ bool) {
			for chosen, v := range views() {
				expr, err := v.fill(raw, d.Templating.List)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if _, err := promql.ParseExpr(expr); err != nil {
					t.Errorf("%s, with %s: %v\n%s", what, chosen, err, expr)
				}
			}
		})
	}
}

// Every metric and label in an expression is one that tattled has.
func TestNames(t *testing.T) {
	known, v := registry(t), views()["all"]
	promql := parser.NewParser(parser.Options{})
	for _, d := range dashboards() {
		eachExpr(d, func(what, raw, legend string, _ bool) {
			expr, _ := v.fill(raw, d.Templating.List)
			parsed, err := promql.ParseExpr(expr)
			if err != nil {
				return // TestParser says so
			}
			parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
				for _, fault := range faultsOf(known, node, path) {
					t.Errorf("%s: %s\n%s", what, fault, raw)
				}
				return nil
			})
			for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(legend, -1) {
				if !slices.Contains(given(known, parsed), m[1]) {
					t.Errorf("%s: the legend names %s, which the answer has not: %s", what, m[1], raw)
				}
			}
		})
	}
}

// Spans are those that Grafana reckons: a rate in a graph has enough scrapes, a sum covers what is shown.
func TestSpans(t *testing.T) {
	for _, d := range dashboards() {
		eachExpr(d, func(what, raw, _ string, instant bool) {
			if instant && strings.Contains(raw, "increase(") && !strings.Contains(raw, "[$__range]") {
				t.Errorf("%s: a table or a figure counts what is in $__range: %s", what, raw)
			}
			if !instant && regexp.MustCompile(`(rate|increase)\([^[]*\[[^$]`).MatchString(raw) {
				t.Errorf("%s: a graph has rates of $__rate_interval: %s", what, raw)
			}
			if strings.Contains(raw, "$__interval") {
				t.Errorf("%s: $__interval may be shorter than a scrape: %s", what, raw)
			}
		})
	}
}

// faultsOf says what is wrong with a part of an expression.
func faultsOf(known map[string]metric, node parser.Node, path []parser.Node) (faults []string) {
	switch n := node.(type) {
	case *parser.VectorSelector:
		m, found := find(known, n.Name)
		if !found {
			return []string{"there is no metric " + n.Name}
		}
		for _, l := range n.LabelMatchers {
			values, there := m.labels[l.Name]
			switch {
			case l.Name == "__name__":
			case !there:
				faults = append(faults, n.Name+" has no label "+l.Name)
			case values != "" && l.Value != ".*" && !allOf(values, l.Value):
				faults = append(faults, n.Name+": "+l.Name+" is never "+l.Value)
			}
		}
		if (m.kind != "gauge") != counted(path) {
			faults = append(faults, n.Name+": rate and increase are for counters, and counters for them")
		}
	case *parser.AggregateExpr:
		faults = strangers(known, n.Grouping, n.Expr)
	case *parser.BinaryExpr:
		if n.VectorMatching != nil {
			faults = append(strangers(known, n.VectorMatching.MatchingLabels, n.LHS), strangers(known, n.VectorMatching.Include, n.RHS)...)
		}
	}
	return faults
}

// strangers are labels by which something is grouped or joined that its parts do not have.
func strangers(known map[string]metric, names []string, in parser.Node) (faults []string) {
	for _, name := range names {
		if !slices.Contains(within(known, in), name) {
			faults = append(faults, "nothing here has the label "+name)
		}
	}
	return faults
}

// within are the labels of all metrics in an expression.
func within(known map[string]metric, in parser.Node) []string {
	all := map[string]bool{}
	parser.Inspect(in, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			m, _ := find(known, s.Name)
			for l := range m.labels {
				all[l] = true
			}
		}
		return nil
	})
	return slices.Collect(maps.Keys(all))
}

// given are the labels that the answer to an expression has: those of its outermost sum, if it is one or is reckoned from one.
func given(known map[string]metric, in parser.Expr) []string {
	switch n := in.(type) {
	case *parser.AggregateExpr:
		if n.Op == parser.TOPK {
			return given(known, n.Expr)
		}
		return n.Grouping
	case *parser.ParenExpr:
		return given(known, n.Expr)
	case *parser.BinaryExpr:
		if n.LHS.Type() == parser.ValueTypeVector {
			return given(known, n.LHS)
		}
		return given(known, n.RHS)
	case *parser.Call:
		for _, a := range n.Args {
			if a.Type() == parser.ValueTypeVector || a.Type() == parser.ValueTypeMatrix {
				return given(known, a)
			}
		}
	}
	return within(known, in)
}

// allOf reports whether the documentation lists the values of a selector: one, or several with bars between them.
func allOf(listed, values string) bool {
	for value := range strings.SplitSeq(values, "|") {
		if !regexp.MustCompile(`(^|[ ,])` + regexp.QuoteMeta(value) + `($|[ ,])`).MatchString(listed) {
			return false
		}
	}
	return true
}

// counted reports whether a selector is within a function for counters.
func counted(path []parser.Node) bool {
	for _, n := range path {
		if c, ok := n.(*parser.Call); ok && slices.Contains([]string{"rate", "increase"}, c.Func.Name) {
			return true
		}
	}
	return false
}

// Every metric of tattled is shown, or is left out for a reason.
func TestEveryMetricIsShown(t *testing.T) {
	left := map[string]string{
		"tattled_receiver_bytes_total":       "records say as much",
		"tattled_store_commits_total":        "the histogram counts them as well",
		"tattled_detect_raw_overflows_total": "the page has the problem",
	}
	var shown strings.Builder
	for _, d := range dashboards() {
		eachExpr(d, func(_, expr, _ string, _ bool) { shown.WriteString(expr) })
	}
	for name := range registry(t) {
		if !strings.HasPrefix(name, "tattled_") || left[name] != "" {
			continue
		}
		if !regexp.MustCompile(`\b` + name + `(_bucket)?\b`).MatchString(shown.String()) {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// What is filled in is what Grafana fills in.
func TestFill(t *testing.T) {
	vars := tattled().Templating.List
	v := views()["several"]
	for raw, want := range map[string]string{
		`x{instance=~"$instance"}`:    `x{instance=~"(\\[2001:db8::1\\]:9817|a\\.example\\.org)"}`,
		`x{reporter=~"${reporter}"}`:  `x{reporter=~"(a\\\\b|x\\|y)"}`,
		`x[$__rate_interval]`:         `x[69s]`,
		`x[$__range] offset $__range`: `x[21600s] offset 21600s`,
	} {
		if got, err := v.fill(raw, vars); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", raw, got, err, want)
		}
	}
	if got, _ := views()["all"].fill(`x{instance=~"$instance", job=~"$job"}[$__rate_interval]`, vars); got != `x{instance=~".*", job=~"tattled"}[69s]` {
		t.Errorf("all: %s", got)
	}
	if got, _ := views()["a minute"].fill(`x[$__rate_interval]`, vars); got != `x[60s]` {
		t.Errorf("a minute: %s", got)
	}
	if _, err := v.fill("x{a=~\"$instanze\"}", vars); err == nil {
		t.Error("an unknown variable was taken")
	}
}
