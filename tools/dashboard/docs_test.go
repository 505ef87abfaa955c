package main

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// documented returns the commands of docs/grafana.md.
func documented(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^    (.+)$`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	return all
}

// The commands of docs/grafana.md that install files do so, in a folder that stands for the root of the system, and apt understands the repository. What
// needs Grafana, its repository or another machine is named here; that Prometheus answers is seen by TestDashboards of cmd/tattled.
func TestDocumentedCommands(t *testing.T) {
	elsewhere := []string{"sudo apt-get ", "wget ", "sudo systemctl ", "ssh ", "curl "}
	root := t.TempDir()
	for _, dir := range []string{"apt/sources.list.d", "grafana/provisioning/datasources", "grafana/provisioning/dashboards"} {
		if err := os.MkdirAll(filepath.Join(root, "etc", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	for _, command := range documented(t) {
		if slices.ContainsFunc(elsewhere, func(prefix string) bool { return strings.HasPrefix(command, prefix) }) {
			continue
		}
		here := strings.NewReplacer("sudo ", "", " -g grafana", "", " /etc/", " "+root+"/etc/", "/usr/share/tattled/grafana", folder).Replace(command)
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", here).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", here, err, out)
		}
		ran++
	}
	if ran < 4 {
		t.Errorf("only %d commands were run", ran)
	}
	for _, name := range []string{"datasources/tattled.yaml", "dashboards/tattled.yaml"} {
		installed, err := os.Stat(filepath.Join(root, "etc/grafana/provisioning", name))
		if err != nil || installed.Mode() != 0o640 {
			t.Errorf("%s: %v, %v", name, installed, err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "apt-get", "-o", "Dir::Etc::SourceList="+root+"/etc/apt/sources.list.d/grafana.list",
		"-o", "Dir::Etc::SourceParts=/dev/null", "--print-uris", "update").CombinedOutput()
	if want := "https://apt.grafana.com/dists/stable/main/"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("apt reads %s, %v; want %s", out, err, want)
	}
}

// provider and source are the names that Grafana knows in such files, as far as ours have them.
type provider struct {
	Name, Folder, Type    string
	UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
	AllowUIUpdates        bool `yaml:"allowUiUpdates"`
	Options               struct{ Path string }
}

type provisioned struct {
	Name, UID, Type, Access, URL string
	IsDefault                    bool `yaml:"isDefault"`
	JSONData                     struct {
		TimeInterval string `yaml:"timeInterval"`
		HTTPMethod   string `yaml:"httpMethod"`
	} `yaml:"jsonData"`
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Grafana finds the dashboards where the package puts them, and asks the Prometheus of the machine.
func TestProvisioning(t *testing.T) {
	var dashboardsFile struct {
		APIVersion int        `yaml:"apiVersion"`
		Providers  []provider `yaml:"providers"`
	}
	readYAML(t, folder+"/provisioning/dashboards/tattled.yaml", &dashboardsFile)
	var sourcesFile struct {
		APIVersion  int           `yaml:"apiVersion"`
		Datasources []provisioned `yaml:"datasources"`
	}
	readYAML(t, folder+"/provisioning/datasources/tattled.yaml", &sourcesFile)
	if dashboardsFile.APIVersion != 1 || len(dashboardsFile.Providers) != 1 || sourcesFile.APIVersion != 1 || len(sourcesFile.Datasources) != 1 {
		t.Fatalf("%+v, %+v", dashboardsFile, sourcesFile)
	}
	p, s := dashboardsFile.Providers[0], sourcesFile.Datasources[0]
	if p.Type != "file" || s.Type != "prometheus" || s.Access != "proxy" || s.IsDefault || s.JSONData.TimeInterval != "15s" {
		t.Errorf("%+v, %+v", p, s)
	}
	var nfpm struct {
		Contents []struct{ Src, Dst string }
	}
	text, err := os.ReadFile("../../nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &nfpm); err != nil {
		t.Fatal(err)
	}
	installed := map[string]string{}
	for _, c := range nfpm.Contents {
		installed[c.Src] = c.Dst
	}
	for name := range dashboards() {
		if got, want := installed["packaging/grafana/"+name], p.Options.Path+"/"+name; got != want {
			t.Errorf("%s is installed as %q, and Grafana looks for %s", name, got, want)
		}
	}
	for _, name := range []string{"provisioning/dashboards/tattled.yaml", "provisioning/datasources/tattled.yaml"} {
		if got, want := installed["packaging/grafana/"+name], "/usr/share/tattled/grafana/"+name; got != want {
			t.Errorf("%s is installed as %q, and the documentation says %s", name, got, want)
		}
	}
}

// Each row has a picture, of a size for a page.
func TestPictures(t *testing.T) {
	text, err := os.ReadFile("../../docs/grafana.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards() {
		for _, r := range rowsOf(d) {
			name := "grafana-" + r.file() + ".png"
			if !bytes.Contains(text, []byte("("+name+")")) {
				t.Errorf("docs/grafana.md does not show %s", name)
			}
			raw, err := os.ReadFile("../../docs/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			if _, err := png.DecodeConfig(bytes.NewReader(raw)); err != nil || len(raw) > 150_000 {
				t.Errorf("%s: %d bytes, %v", name, len(raw), err)
			}
		}
	}
}
