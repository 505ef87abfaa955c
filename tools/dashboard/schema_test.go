package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	sdk "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Grafana's own description of a dashboard takes ours: it knows every name, of panels, their options and their queries, and misses none.
func TestSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d sdk.Dashboard //nolint:staticcheck // as below
	if err := d.UnmarshalJSONStrict([]byte(`{"schemaVersion": 39, "panels": [{"type": "stat", "options": {"colourMode": "value"}}]}`)); !strings.Contains(fmt.Sprint(err), "colourMode") {
		t.Fatalf("a name that is wrong is taken: %v", err)
	}
	for name := range dashboards() {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		var d sdk.Dashboard                                                      //nolint:staticcheck // version 2 is for Grafana 12 and later alone
		if err := d.UnmarshalJSONStrict(text); err != nil && err.Error() != "" { // it gives an empty list for none
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
