package alerts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tattled/machine"
)

// The commands of docs/prometheus.md put the rules and the job into Debian's configuration, and promtool loads both.
func TestPage(t *testing.T) {
	lackTools(t, "promtool", "bash")
	const debians = "/etc/prometheus/prometheus.yml"
	if _, err := os.Stat(debians); err != nil {
		machine.Lacks(t, err)
	}
	suite := "## Debian 12"
	if knowsScrapeFiles(t) {
		suite = "## Debian 13"
	}
	dir := t.TempDir()
	copyFile(t, debians, dir+"/prometheus.yml")
	packaged, err := filepath.Abs(root + "/packaging/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("/etc/prometheus", dir, "/usr/share/doc/tattled/prometheus", packaged, "sudo systemctl", ": sudo systemctl").
		Replace(commands(t, "## Put the files") + commands(t, suite) + commands(t, "## Check it and load it"))
	script, _, _ = strings.Cut(script, "curl ") // nothing runs here that could answer: e2e/run and TestFaults ask
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", "sudo() { \"$@\"; }\n"+script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	if !strings.Contains(string(out), "tattled.rules.yml") {
		t.Errorf("the rules are not loaded:\n%s", out)
	}
	var config struct {
		ScrapeConfigFiles []string `yaml:"scrape_config_files"`
		ScrapeConfigs     []struct {
			JobName string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	decode(t, dir+"/prometheus.yml", &config)
	named := len(config.ScrapeConfigFiles) == 1
	for _, job := range config.ScrapeConfigs {
		named = named || job.JobName == "tattled"
	}
	if !named {
		t.Errorf("the job is not in the configuration: %+v", config)
	}
}

// Debian's Alertmanager takes the configuration that the page shows.
func TestAlertmanager(t *testing.T) {
	lackTools(t, "amtool")
	path := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(path, []byte(commands(t, "## Have them sent")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "amtool", "check-config", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// commands returns the indented blocks of a section of docs/prometheus.md. e2e/run reads them in the same way.
func commands(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/prometheus.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	in := false
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "## ") {
			in = strings.HasPrefix(line, heading)
		}
		if command, ok := strings.CutPrefix(line, "    "); ok && in {
			all.WriteString(command)
		}
	}
	if all.Len() == 0 {
		t.Fatalf("docs/prometheus.md has no commands after %q", heading)
	}
	return all.String()
}
