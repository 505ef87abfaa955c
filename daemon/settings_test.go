package daemon

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"tattled/setting/document"
)

// The packaged configuration is the manual: every setting that the code knows stands in it.
func TestPackagedConfigurationNamesEverySetting(t *testing.T) {
	text, err := os.ReadFile("../packaging/tattled.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, t := range configTypes() {
		settingsOf(t, known)
	}
	cfg := filledConfig()
	for _, name := range slices.Concat(cfg.Sources.names, cfg.Report.names, cfg.Alerts.names) {
		known[name] = true
	}
	written := map[string]bool{}
	for _, m := range regexp.MustCompile(`\b([a-z][a-z0-9_]*):`).FindAllSubmatch(text, -1) {
		written[string(m[1])] = true
	}
	for name := range known {
		if !written[name] {
			t.Errorf("packaging/tattled.yaml does not explain %s", name)
		}
	}
}

func settingsOf(t reflect.Type, into map[string]bool) map[string]bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || document.IsText(reflect.PointerTo(t)) {
		return into
	}
	for i := range t.NumField() {
		if name, _ := settingName(t.Field(i)); name != "" {
			into[name] = true
			settingsOf(t.Field(i).Type, into)
		}
	}
	return into
}
