package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"tattled/setting"
)

func names(all []Config) []string {
	var names []string
	for i := range all {
		names = append(names, all[i].Name)
	}
	return names
}

// What a configuration lists is added to the shipped policies, replaces the one of its name, or switches it off.
func TestListIsAddedToTheShipped(t *testing.T) {
	off, on := false, true
	list := List{
		{Name: "mine", Do: []string{doAlert}},
		{Name: "port-scan", Enabled: &off},
		{Name: "flood", Threshold: 7, Do: []string{doCount}},
		{Name: "probes", Enabled: &on, Do: []string{doCount}},
		{Name: "mine-too", Enabled: &off, Do: []string{doReport}},
	}
	all := list.With(Defaults())
	want := slices.DeleteFunc(names(Defaults()), func(name string) bool { return name == "port-scan" })
	if got := names(all); !slices.Equal(got, append(want, "mine")) {
		t.Errorf("in effect are %v", got)
	}
	for i, shipped := range slices.DeleteFunc(Defaults(), func(c Config) bool { return c.Name == "port-scan" }) {
		if got := all[i]; shipped.Name == "flood" && (got.Threshold != 7 || len(got.When.Kind) > 0) {
			t.Errorf("the shipped flood was not replaced: %+v", got)
		} else if shipped.Name != "flood" && shipped.Name != "probes" && !reflect.DeepEqual(got, shipped) {
			t.Errorf("%s is %+v", shipped.Name, got)
		}
	}
	if got := names(list.With(nil)); !slices.Equal(got, []string{"mine", "flood", "probes"}) {
		t.Errorf("without the shipped ones, in effect are %v", got)
	}
	if got := List(nil).With(Defaults()); !reflect.DeepEqual(got, Defaults()) {
		t.Errorf("with nothing listed, in effect are %v", names(got))
	}
}

// A switch needs no more than a name, which must be that of a shipped policy; a shipped policy that is replaced in part only is
// a fault that says where the whole is.
func TestSwitchesAreChecked(t *testing.T) {
	off := false
	for _, c := range []struct {
		config     Config
		path, want string // of the one fault, "" for none
	}{
		{Config{Name: "port-scan", Enabled: &off}, "", ""},
		{Config{Name: "port-scn", Enabled: &off}, "[0].name", `did you mean "port-scan"?`},
		{Config{Name: "nothing-like-it", Enabled: &off}, "[0].name", "check --policies"},
		{Config{Name: "mine", Enabled: &off, Do: []string{doReport}}, "", ""},
		{Config{Name: "mine", Enabled: &off, Do: []string{"shout"}}, "[0].do[0]", "write report"},
		{Config{Name: "flood", Threshold: 9, Within: setting.Duration(1e12)}, "[0].do", "begin with a copy"},
	} {
		found := 0
		CheckAll([]Config{c.config}, func(path, problem string) {
			if found++; path != c.path || !strings.Contains(problem, c.want) {
				t.Errorf("%+v: %s: %s; want %s with %q", c.config, path, problem, c.path, c.want)
			}
		})
		if (found == 1) != (c.path != "") {
			t.Errorf("%+v: %d faults", c.config, found)
		}
	}
}
