package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write packaging/grafana again")

const folder = "../../packaging/grafana"

// The files that people install are what this program makes.
func TestFiles(t *testing.T) {
	if *update {
		if err := write(folder); err != nil {
			t.Fatal(err)
		}
	}
	for name, d := range dashboards() {
		want, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s is not what the program makes: make dashboard writes it", name)
		}
	}
}

// eachPanel calls f for every panel but rows and texts.
func eachPanel(t *testing.T, f func(t *testing.T, d dashboard, p panel)) {
	t.Helper()
	for _, d := range dashboards() {
		for _, p := range d.Panels {
			if p.Type != "row" && p.Type != "text" {
				t.Run(d.UID+"/"+p.Title, func(t *testing.T) { f(t, d, p) })
			}
		}
	}
}

// Every panel says what it is about, and shows it so that a tired person understands.
func TestEveryPanelExplainsItself(t *testing.T) {
	kinds := []string{"stat", "timeseries", "table", "state-timeline", "geomap"} // Grafana's own
	eachPanel(t, func(t *testing.T, _ dashboard, p panel) {
		if !slices.Contains(kinds, p.Type) {
			t.Errorf("a %s is not one of %v", p.Type, kinds)
		}
		answers, otherwise, found := strings.Cut(p.Description, "\n\n")
		if p.Title == "" || !found || !strings.HasSuffix(answers, ".") || !strings.HasSuffix(otherwise, ".") {
			t.Errorf("it does not say what it answers and what to do: %q", p.Description)
		}
		fields := p.FieldConfig.Defaults
		if fields.Unit == "" || fields.Decimals == nil || *fields.Decimals > 3 || fields.NoValue == "" {
			t.Errorf("unit %q, decimals %v, no value %q", fields.Unit, fields.Decimals, fields.NoValue)
		}
		if len(p.Targets) == 0 || len(p.Targets) > 26 {
			t.Errorf("%d queries", len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.Instant == target.Range || target.Instant != (p.Type != "timeseries" && p.Type != "state-timeline") {
				t.Errorf("query %s of a %s: instant %v, range %v", target.RefID, p.Type, target.Instant, target.Range)
			}
		}
	})
}

// Red is for what is lost and for what tattled does not see. A title of the panel or the column, or the name of the series, stands for that.
func TestRedMeansLoss(t *testing.T) {
	loss := []string{
		"No answer", "Up", "Answers", "Drift", "State", "State file", "Lost", "Gaps", "gaps", "Blind sources", "Lost records", "Damaged records",
		"bad-frame", "too-many", "out-of-step", "expired", "damaged", "evicted waiting",
	}
	judge := func(t *testing.T, what, color string) {
		t.Helper()
		switch {
		case strings.Contains(color, "red") && !slices.Contains(loss, what):
			t.Errorf("%s is red", what)
		case !slices.Contains(strings.Fields("green light-green semi-dark-green orange dark-orange yellow blue light-blue purple light-purple text red light-red dark-red"), color):
			t.Errorf("%s has the color %q", what, color)
		}
	}
	eachPanel(t, func(t *testing.T, _ dashboard, p panel) {
		for _, s := range p.FieldConfig.Defaults.Thresholds.Steps {
			judge(t, p.Title, s.Color)
		}
		words := func(what string, all []mapping) {
			for _, m := range all {
				for _, w := range m.Options {
					judge(t, what, w.Color)
				}
			}
		}
		words(p.Title, p.FieldConfig.Defaults.Mappings)
		for _, o := range p.FieldConfig.Overrides {
			for _, one := range o.Properties {
				switch v := one.Value.(type) {
				case color:
					judge(t, o.Matcher.Options, v.FixedColor)
				case thresholds:
					for _, s := range v.Steps {
						judge(t, o.Matcher.Options, s.Color)
					}
				case []mapping:
					words(o.Matcher.Options, v)
				}
			}
		}
	})
}

// Numbers and places are each one's own, and no panel covers another.
func TestPlaces(t *testing.T) {
	for _, d := range dashboards() {
		seen, taken := map[int]bool{}, map[string]string{}
		for _, p := range d.Panels {
			if seen[p.ID] || p.ID == 0 {
				t.Errorf("%s: number %d twice", p.Title, p.ID)
			}
			seen[p.ID] = true
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s is beyond the page: %+v", p.Title, p.GridPos)
			}
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					at := fmt.Sprint(x, ",", y)
					if taken[at] != "" {
						t.Fatalf("%s covers %s at %s", p.Title, taken[at], at)
					}
					taken[at] = p.Title
				}
			}
		}
	}
}

// Titles are links into docs/grafana.md, which says of every row what it answers.
func TestRowsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards() {
		for _, p := range d.Panels {
			if name, _, _ := strings.Cut(p.Title, ":"); p.Type == "row" && !bytes.Contains(text, []byte("**"+name+"**")) {
				t.Errorf("docs/grafana.md does not say what the row %q answers", name)
			}
		}
	}
}
