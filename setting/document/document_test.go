package document

import (
	"fmt"
	"strings"
	"testing"

	"tattled/setting"
)

type settings struct {
	Number   int               `yaml:"number"`
	Counts   int               `yaml:"counts" zero:"default"`
	Rate     float64           `yaml:"rate"`
	Mute     setting.Duration  `yaml:"mute"`
	Score    *int              `yaml:"score"`
	Enabled  *bool             `yaml:"enabled"`
	Name     string            `yaml:"name"`
	Ports    []uint16          `yaml:"ports"`
	Inner    *inner            `yaml:"inner"`
	Networks []setting.Network `yaml:"networks"`
}

type inner struct {
	Size uint32 `yaml:"size"`
}

func decode(text string) (s settings, d Document, ok bool, faults string) {
	var all []string
	d, ok = Decode([]byte(text), &s, func(line int, path, problem string) { all = append(all, fmt.Sprintf("%d %s %s", line, path, problem)) })
	return s, d, ok, strings.Join(all, "\n")
}

// A number that is written as 0 would silently be its default, which is the opposite of what people mean by it.
func TestZeroIsNotADefault(t *testing.T) {
	for text, want := range map[string]string{
		"number: 0":                  "1 number 0 is not possible",
		"name: x\nrate: 0.0":         "2 rate 0.0 is not possible",
		"mute: 0s":                   "1 mute 0s is not possible",
		"inner: {size: 0}":           "1 inner.size 0 is not possible",
		"counts: &z 0\nnumber: *z":   "2 number 0 is not possible",
		"counts: 0":                  "",
		"score: 0":                   "",
		"ports: [0]":                 "",
		"enabled: false":             "",
		"number: 7\nmute: 1d":        "",
		"number:\nmute: ~\nenabled:": "",
	} {
		if _, _, ok, faults := decode(text); !ok || (faults == "") != (want == "") || !strings.HasPrefix(faults, want) {
			t.Errorf("%q: %q, want %q", text, faults, want)
		}
	}
	if s, _, _, _ := decode("score: 0\nenabled:\ninner:\n"); s.Score == nil || *s.Score != 0 || s.Enabled != nil || s.Inner == nil {
		t.Errorf("%+v", s)
	}
}

func TestLines(t *testing.T) {
	_, d, ok, faults := decode("# a comment\ninner:\n  size: 3\nports:\n  - 1\n  - x\n")
	if !ok || faults != `6 ports[1] "x" is not a whole number from 0 to 65535` {
		t.Errorf("%v, %s", ok, faults)
	}
	for path, want := range map[string]int{"inner": 2, "inner.size": 3, "inner.nothing": 2, "ports[0]": 5, "ports[1]": 6, "ports[7]": 4, "nothing": 0, "": 0} {
		if got := d.Line(path); got != want {
			t.Errorf("%s is in line %d, want %d", path, got, want)
		}
	}
	if !d.Faulty("ports[1]") || d.Faulty("ports[0]") {
		t.Error("the wrong setting is at fault")
	}
}

func TestNotYAML(t *testing.T) {
	for text, want := range map[string]string{"inner: {": "1  not YAML: ", "a: b: c": "0  not YAML: ", "name: x\n---\nname: y\n": "2  a second document"} {
		if _, _, _, faults := decode(text); !strings.HasPrefix(faults, want) {
			t.Errorf("%q: %q, want %q", text, faults, want)
		}
	}
	if s, _, ok, faults := decode(""); !ok || faults != "" || s.Inner != nil {
		t.Errorf("an empty text is at fault: %s", faults)
	}
}

// parts is a mapping whose settings are values of their own.
type parts struct{ values map[string]any }

func (p *parts) Names() []string         { return []string{"one", "many"} }
func (p *parts) Section(name string) any { return p.values[name] }

// Sections that no struct has as fields are read, faulted and put at their lines like fields.
func TestSections(t *testing.T) {
	var one *inner
	var many []inner
	var whole struct {
		Parts parts `yaml:"parts"`
	}
	whole.Parts.values = map[string]any{"one": &one, "many": &many}
	var faults []string
	d, ok := Decode([]byte("parts:\n  one:\n  many:\n    - {size: 3}\n    - {size: 0}\n  onne: 1\n"), &whole, func(line int, path, problem string) {
		faults = append(faults, fmt.Sprintf("%d %s %s", line, path, problem))
	})
	if !ok || one == nil || len(many) != 2 || many[0].Size != 3 || d.Line("parts.many[0].size") != 4 || len(faults) != 2 ||
		!strings.HasPrefix(faults[0], "5 parts.many[1].size 0 is not possible") || !strings.Contains(faults[1], `6 parts.onne no such setting: did you mean "one"?`) {
		t.Errorf("%v %v %+v, line %d, %q", ok, one, many, d.Line("parts.many[0].size"), faults)
	}
}
