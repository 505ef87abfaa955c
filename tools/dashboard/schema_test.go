package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	sdk "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Grafana's own description of a dashboard takes ours: it knows every name, of panels, their options and their queries, and misses none.
func TestSchema(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d sdk.Dashboard
	if err := d.UnmarshalJSONStrict([]byte(`{"schemaVersion": 39, "panels": [{"type": "stat", "options": {"colourMode": "value"}}]}`)); err == nil {
		t.Fatal("a name that is wrong is taken")
	}
	for name := range dashboards() {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		var d sdk.Dashboard
		if err := d.UnmarshalJSONStrict(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
