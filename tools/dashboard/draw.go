package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The pictures are not Grafana's: they show the answers of Prometheus in the places, units and colors that the dashboards say.
const (
	cellW, cellH = 50, 30 // pixels of a unit of the grid
	style        = `<style>
body { margin: 0; font: 12px "DejaVu Sans", sans-serif; background: #f4f5f5; color: #24292e; }
.panel { position: absolute; background: #fff; border: 1px solid #d8d9da; border-radius: 2px; box-sizing: border-box; padding: 6px 8px; overflow: hidden; }
.panel h2 { font-size: 12px; margin: 0 0 4px; white-space: nowrap; }
.panel h2 small { font-weight: normal; color: #6e7076; }
.heading { position: absolute; font-size: 14px; padding: 6px 8px; }
.figure { text-align: center; line-height: 66px; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-size: 11px; }
th, td { text-align: right; padding: 2px 6px; white-space: nowrap; border-bottom: 1px solid #ececed; }
.label { text-align: left; }
.legend { font-size: 10px; line-height: 13px; height: 26px; overflow: hidden; }
.legend i { display: inline-block; width: 12px; height: 3px; margin: 0 4px 3px 8px; }
text { font: 10px "DejaVu Sans", sans-serif; fill: #6e7076; }
</style>`
)

// draw makes a picture of each row of the dashboards, with a browser.
func draw(args []string) error {
	flags := flag.NewFlagSet("dashboard draw", flag.ContinueOnError)
	file := flags.String("answers", "", "what dashboard ask has written")
	folder := flags.String("folder", ".", "where the pictures go: grafana-ROW.png")
	browser := flags.String("browser", "chromium", "the browser that draws")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var answers []answer
	if err := json.Unmarshal(text, &answers); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "dashboard")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for _, d := range []dashboard{tattled(), fleet()} {
		for _, r := range rowsOf(d) {
			page, height := r.page(d, answers)
			source := filepath.Join(scratch, "page.html")
			if err := os.WriteFile(source, []byte(page), 0o600); err != nil {
				return err
			}
			if err := shoot(*browser, scratch, source, filepath.Join(*folder, "grafana-"+r.file()+".png"), height); err != nil {
				return err
			}
		}
	}
	return nil
}

// shoot has a browser without a window draw a page.
func shoot(browser, scratch, page, picture string, height int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	picture, err := filepath.Abs(picture)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
		"--user-data-dir="+filepath.Join(scratch, "profile"), fmt.Sprintf("--window-size=%d,%d", 24*cellW, height), "--screenshot="+picture, "file://"+page)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", browser, err, out)
	}
	return shrink(picture)
}

// rowsOf takes the panels of a dashboard apart again.
func rowsOf(d dashboard) []row {
	var all []row
	for _, p := range d.Panels {
		if p.Type == "row" {
			all = append(all, row{title: p.Title})
			continue
		}
		all[len(all)-1].panels = append(all[len(all)-1].panels, p)
	}
	return all
}

func (r row) file() string {
	name, _, _ := strings.Cut(strings.ToLower(r.title), ":")
	return strings.ReplaceAll(name, " ", "-")
}

// page is a row as HTML, and how high it is.
func (r row) page(d dashboard, answers []answer) (page string, height int) {
	var b strings.Builder
	b.WriteString("<!doctype html><meta charset=utf-8>" + style)
	top := r.panels[0].GridPos.Y - 1
	fmt.Fprintf(&b, `<div class=heading>%s</div>`, html.EscapeString(r.title))
	for _, p := range r.panels {
		of := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.Dashboard != d.UID || a.Panel != p.ID })
		g := p.GridPos
		title := html.EscapeString(p.Title)
		if p.TimeFrom != "" {
			title += " <small>since midnight</small>"
		}
		fmt.Fprintf(&b, `<div class=panel style="left:%dpx;top:%dpx;width:%dpx;height:%dpx"><h2>%s</h2>%s</div>`,
			g.X*cellW+2, (g.Y-top)*cellH+2, g.W*cellW-4, g.H*cellH-4, title, drawPanel(p, of, g.W*cellW-24, g.H*cellH-40))
		height = max(height, (g.Y-top+g.H)*cellH+4)
	}
	return b.String(), height
}

func drawPanel(p panel, answers []answer, w, h int) string {
	switch p.Type {
	case "text":
		return html.EscapeString(linkText.ReplaceAllString(fmt.Sprint(p.Options["content"]), "$1"))
	case "stat":
		return drawStat(p, answers, w)
	case "table":
		return drawTable(p, answers, h)
	case "state-timeline":
		return drawStates(p, answers, w, h)
	case "geomap":
		return drawMap(answers, w, h)
	default:
		return drawGraph(p, answers, w, h)
	}
}

func drawStat(p panel, answers []answer, w int) string {
	text, color := p.FieldConfig.Defaults.NoValue, mute
	if v, ok := last(answers); ok {
		text, color = p.FieldConfig.Defaults.show(v)
	}
	return fmt.Sprintf(`<div class=figure style="color:%s;font-size:%dpx">%s</div>`, web(color), min(30, w*3/2/max(1, len([]rune(text)))), html.EscapeString(text))
}

func last(answers []answer) (float64, bool) {
	for _, a := range answers {
		for _, s := range a.Series {
			if len(s.Points) > 0 {
				return s.Points[len(s.Points)-1][1], true
			}
		}
	}
	return 0, false
}

// drawTable joins the answers by their labels, as Grafana's merge does.
func drawTable(p panel, answers []answer, h int) string {
	organized := p.Transformations[len(p.Transformations)-1].Options
	names, index := organized["renameByName"].(map[string]any), organized["indexByName"].(map[string]any)
	var labels []string
	for name := range index {
		if !strings.HasPrefix(name, "Value") {
			labels = append(labels, name)
		}
	}
	slices.SortFunc(labels, func(a, b string) int { return index[a].(int) - index[b].(int) })
	lines := map[string]map[string]float64{}
	for _, a := range answers {
		for _, s := range a.Series {
			var key []string
			for _, l := range labels {
				key = append(key, short(s.Labels[l]))
			}
			k := strings.Join(key, "\x00")
			if lines[k] == nil {
				lines[k] = map[string]float64{}
			}
			if len(s.Points) > 0 {
				lines[k][a.Ref] = s.Points[0][1]
			}
		}
	}
	var b strings.Builder
	b.WriteString("<table><tr>")
	for _, l := range labels {
		fmt.Fprintf(&b, "<th class=label>%s", html.EscapeString(names[l].(string)))
	}
	columns := p.columns()
	for _, c := range columns {
		fmt.Fprintf(&b, "<th>%s", html.EscapeString(c.name))
	}
	keys := p.order(lines)
	for _, k := range keys[:min(len(keys), h/20-1)] {
		b.WriteString("<tr>")
		for _, l := range strings.Split(k, "\x00") {
			fmt.Fprintf(&b, "<td class=label>%s", html.EscapeString(l))
		}
		for i, c := range columns {
			text, color := p.FieldConfig.Defaults.NoValue, mute
			if v, ok := lines[k][string(rune('A'+i))]; ok {
				text, color = c.field.show(v)
			}
			fmt.Fprintf(&b, `<td style="color:%s">%s`, web(color), html.EscapeString(text))
		}
	}
	return b.String() + "</table>"
}

// shown is a column with what its overrides make of it.
type shown struct {
	name  string
	field field
}

func (p panel) columns() []shown {
	organized := p.Transformations[len(p.Transformations)-1].Options
	names := organized["renameByName"].(map[string]any)
	var all []shown
	for _, t := range p.Targets {
		name, ok := names["Value #"+t.RefID].(string)
		if !ok {
			name = names["Value"].(string)
		}
		c := shown{name, p.FieldConfig.Defaults}
		for _, o := range p.FieldConfig.Overrides {
			if o.Matcher.Options == name {
				c.field.take(o.Properties)
			}
		}
		all = append(all, c)
	}
	return all
}

func (f *field) take(properties []property) {
	for _, one := range properties {
		switch v := one.Value.(type) {
		case thresholds:
			f.Thresholds = v
		case []mapping:
			f.Mappings = v
		case string:
			if one.ID == "unit" {
				f.Unit = v
			}
		case int:
			if one.ID == "decimals" {
				f.Decimals = &v
			}
		}
	}
}

// order puts the lines of a table where its sorting wants them.
func (p panel) order(lines map[string]map[string]float64) []string {
	var keys []string
	for k := range lines {
		keys = append(keys, k)
	}
	by := ""
	if s, ok := p.Options["sortBy"].([]any); ok {
		for i, c := range p.columns() {
			if c.name == s[0].(map[string]any)["displayName"] {
				by = string(rune('A' + i))
			}
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		if lines[a][by] > lines[b][by] {
			return -1
		} else if lines[a][by] < lines[b][by] {
			return 1
		}
		return strings.Compare(a, b)
	})
	return keys
}

var linkText = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)

var scratchPath = regexp.MustCompile(`/tmp/[^ ]*/`)

// short leaves out where a test had its files.
func short(label string) string { return scratchPath.ReplaceAllString(label, "/…/") }
