package main

import (
	"fmt"
	"strconv"
)

// The colors that thresholds may have, and what they mean. Red is kept for what is lost, and for what tattled does not see.
const (
	calm = "green"
	look = "orange" // have a look, in time
	lost = "red"
	mute = "text" // says nothing of good or bad
)

// source is the data source that is chosen at the top of the page.
func source() datasource { return datasource{Type: "prometheus", UID: "${datasource}"} }

// row is a heading and the panels below it.
type row struct {
	title  string
	panels []panel
}

// option changes a panel that is being made.
type option func(*panel)

// newPanel makes a panel: what it is called, which question it answers, and what to do when the answer is bad.
func newPanel(kind, title, answers, otherwise string, options []option) panel {
	ds := source()
	p := panel{
		Type: kind, Title: title, Description: answers + "\n\n" + otherwise, Datasource: &ds, PluginVersion: "10.0.0",
		GridPos: grid{W: 8, H: 8},
		FieldConfig: &fieldConfig{
			Defaults: field{
				NoValue: "nothing yet", Color: color{Mode: "thresholds"}, Mappings: []mapping{},
				Thresholds: thresholds{Mode: "absolute", Steps: []step{{Color: mute}}},
			},
			Overrides: []override{},
		},
		Options: map[string]any{},
	}
	for _, o := range options {
		o(&p)
	}
	return p
}

// stat is one figure.
func stat(title, answers, otherwise string, options ...option) panel {
	return newPanel("stat", title, answers, otherwise, append([]option{func(p *panel) {
		p.GridPos = grid{W: 3, H: 4}
		p.Options = map[string]any{
			"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": true,
			"showPercentChange": false, "percentChangeColorMode": "standard",
			"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		}
	}}, options...))
}

// graph is lines over time.
func graph(title, answers, otherwise string, options ...option) panel {
	return newPanel("timeseries", title, answers, otherwise, append([]option{func(p *panel) {
		p.FieldConfig.Defaults.Color.Mode = "palette-classic"
		zero := 0.0
		p.FieldConfig.Defaults.Min = &zero
		p.FieldConfig.Defaults.Custom = map[string]any{
			"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false,
			"stacking":        map[string]any{"mode": "none", "group": "A"},
			"thresholdsStyle": map[string]any{"mode": "off"},
		}
		p.Options = map[string]any{
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		}
	}}, options...))
}

// states is a bar for each series that changes its color with its value.
func states(title, answers, otherwise string, options ...option) panel {
	return newPanel("state-timeline", title, answers, otherwise, append([]option{func(p *panel) {
		p.FieldConfig.Defaults.Custom = map[string]any{"lineWidth": 0, "fillOpacity": 80, "spanNulls": false}
		p.Options = map[string]any{
			"showValue": "never", "rowHeight": 0.8, "mergeValues": true,
			"legend":  map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []string{}},
			"tooltip": map[string]any{"mode": "single", "sort": "none"},
		}
	}}, options...))
}

// table is one line for each set of labels, and one column for each query.
func table(title, answers, otherwise string, options ...option) panel {
	return newPanel("table", title, answers, otherwise, append([]option{func(p *panel) {
		p.FieldConfig.Defaults.Custom = map[string]any{"align": "auto", "cellOptions": map[string]any{"type": "auto"}, "inspect": false}
		p.Options = map[string]any{"showHeader": true, "cellHeight": "sm", "frameIndex": 0}
		p.Transformations = []transformation{{ID: "merge", Options: map[string]any{}}}
	}}, options...))
}

// worldMap is a circle on each country, by the two letters of its ISO code.
func worldMap(title, answers, otherwise string, options ...option) panel {
	return newPanel("geomap", title, answers, otherwise, append([]option{func(p *panel) {
		p.FieldConfig.Defaults.Color.Mode = "continuous-BlPu"
		p.Options = map[string]any{
			"view":     map[string]any{"id": "coords", "lat": 25, "lon": 10, "zoom": 1, "allLayers": true},
			"controls": map[string]any{"showZoom": true, "mouseWheelZoom": false, "showAttribution": true, "showScale": false, "showMeasure": false, "showDebug": false},
			"basemap":  map[string]any{"type": "default", "name": "Basemap", "config": map[string]any{}},
			"tooltip":  map[string]any{"mode": "details"},
			"layers": []any{map[string]any{
				"type": "markers", "name": "Events", "tooltip": true,
				"location": map[string]any{"mode": "lookup", "lookup": "country", "gazetteer": "public/gazetteer/countries.json"},
				"config": map[string]any{"showLegend": false, "style": map[string]any{
					"color": map[string]any{"field": "Value", "fixed": "blue"}, "opacity": 0.6,
					"size":   map[string]any{"field": "Value", "fixed": 5, "min": 4, "max": 24},
					"symbol": map[string]any{"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
				}},
			}},
		}
	}}, options...))
}

// help is text, and no query.
func help(w, h int, text string) panel {
	return panel{
		Type: "text", GridPos: grid{W: w, H: h}, PluginVersion: "10.0.0",
		Options: map[string]any{"mode": "markdown", "content": text},
	}
}

// size is in units of the page: it is 24 wide.
func size(w, h int) option { return func(p *panel) { p.GridPos = grid{W: w, H: h} } }

// under puts a panel below the one before it, and not beside it: both together are as high as their neighbors.
func under(p *panel) { p.GridPos.Y = -1 }

// unit is Grafana's name of one, and how many digits follow the point.
func unit(name string, decimals int) option {
	return func(p *panel) { p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.Decimals = name, &decimals }
}

// empty is what is written where no value is.
func empty(text string) option { return func(p *panel) { p.FieldConfig.Defaults.NoValue = text } }

// over adds a query of all of the time that is shown.
func over(expr, legend string) option {
	return func(p *panel) { p.add(target{Expr: expr, LegendFormat: legend, Range: true, Format: "time_series"}) }
}

// now adds a query of the end of that time.
func now(expr, legend string) option {
	return func(p *panel) { p.add(target{Expr: expr, LegendFormat: legend, Instant: true, Format: "time_series"}) }
}

func (p *panel) add(t target) {
	t.RefID, t.Datasource, t.EditorMode = string(rune('A'+len(p.Targets))), source(), "code"
	p.Targets = append(p.Targets, t)
}

// today makes $__range the time since midnight.
func today(p *panel) { p.TimeFrom = "now/d" }

// from gives colors: the first is that of what is below all levels.
func from(first string, levels ...any) option {
	return func(p *panel) { p.FieldConfig.Defaults.Thresholds.Steps = steps(first, levels...) }
}

func steps(first string, levels ...any) []step {
	all := []step{{Color: first}}
	for i := 0; i+1 < len(levels); i += 2 {
		value := number(levels[i])
		all = append(all, step{Color: levels[i+1].(string), Value: &value})
	}
	return all
}

func number(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	panic(fmt.Sprintf("%v is not a number", v))
}

// words shows words in the place of the values 0, 1, and so on: a word, its color, and the next.
func words(pairs ...string) option {
	return func(p *panel) { p.FieldConfig.Defaults.Mappings = mapped(pairs...) }
}

func mapped(pairs ...string) []mapping {
	m := mapping{Type: "value", Options: map[string]word{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Options[strconv.Itoa(i/2)] = word{Text: pairs[i], Color: pairs[i+1], Index: i / 2}
	}
	return []mapping{m}
}

// stacked puts the lines of a graph on top of each other.
func stacked(p *panel) {
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 40
}

// line draws the thresholds into a graph.
func line(p *panel) {
	p.FieldConfig.Defaults.Custom["thresholdsStyle"] = map[string]any{"mode": "dashed"}
}

// paint gives series their colors, by name.
func paint(pairs ...string) option {
	return func(p *panel) {
		for i := 0; i+1 < len(pairs); i += 2 {
			p.set("byName", pairs[i], property{ID: "color", Value: color{Mode: "fixed", FixedColor: pairs[i+1]}})
		}
	}
}

// faint draws what a query gives as a dashed line outside of the stack.
func faint(ref string) option {
	return func(p *panel) {
		p.set("byFrameRefID", ref,
			property{ID: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{8, 6}}},
			property{ID: "custom.stacking", Value: map[string]any{"mode": "none", "group": "A"}},
			property{ID: "custom.fillOpacity", Value: 0},
			property{ID: "color", Value: color{Mode: "fixed", FixedColor: mute}})
	}
}

func (p *panel) set(by, what string, properties ...property) {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{Matcher: matcher{ID: by, Options: what}, Properties: properties})
}

// column is one of a table: a query, and how its values look.
type column struct {
	name     string
	expr     string
	unit     string
	decimals int
	steps    []step    // none: no color
	words    []mapping // none: the figure
}

// columns makes the queries and the columns of a table. labels are the columns in front, and their headings.
func columns(labels []string, headings []string, all ...column) option {
	return func(p *panel) {
		index, rename := map[string]any{}, map[string]any{}
		for i, l := range labels {
			index[l], rename[l] = i, headings[i]
		}
		for i, c := range all {
			p.add(target{Expr: c.expr, Instant: true, Format: "table"})
			value := "Value #" + p.Targets[len(p.Targets)-1].RefID
			if len(all) == 1 {
				value = "Value"
			}
			index[value], rename[value] = len(labels)+i, c.name
			p.set("byName", c.name, c.properties()...)
		}
		p.Transformations = append(p.Transformations, transformation{ID: "organize", Options: map[string]any{
			"excludeByName": map[string]any{"Time": true}, "indexByName": index, "renameByName": rename,
		}})
	}
}

// hide leaves out columns of the table.
func (p *panel) hide(labels ...string) {
	exclude := p.Transformations[len(p.Transformations)-1].Options["excludeByName"].(map[string]any)
	for _, l := range labels {
		exclude[l] = true
	}
}

func (c column) properties() []property {
	all := []property{{ID: "unit", Value: c.unit}, {ID: "decimals", Value: c.decimals}}
	if c.steps != nil {
		all = append(all, property{ID: "thresholds", Value: thresholds{Mode: "absolute", Steps: c.steps}})
	}
	if c.words != nil {
		all = append(all, property{ID: "mappings", Value: c.words})
	}
	if c.steps != nil || c.words != nil {
		all = append(all, property{ID: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
	}
	return all
}

// sorted puts the largest values of a column on top.
func sorted(name string) option {
	return func(p *panel) { p.Options["sortBy"] = []any{map[string]any{"displayName": name, "desc": true}} }
}

// linked makes the values of a column, or of all of a panel if column is "", lead to a page.
func linked(column, title, url string) option {
	return func(p *panel) {
		l := []dataLink{{Title: title, URL: url, TargetBlank: true}}
		if column == "" {
			p.FieldConfig.Defaults.Links = l
			return
		}
		p.set("byName", column, property{ID: "links", Value: l})
	}
}

// place gives rows and panels their places, from the top to the bottom, and their numbers.
func place(rows []row) []panel {
	var all []panel
	id, y := 0, 0
	open, none := false, []panel{}
	for _, r := range rows {
		id++
		all = append(all, panel{ID: id, Type: "row", Title: r.title, Collapsed: &open, Panels: &none, GridPos: grid{W: 24, H: 1, Y: y}})
		y++
		x, height := 0, 0
		for _, p := range r.panels {
			id++
			p.ID = id
			if above := all[len(all)-1].GridPos; p.GridPos.Y < 0 {
				p.GridPos.X, p.GridPos.Y = above.X, above.Y+above.H
				all = append(all, p)
				continue
			}
			if x+p.GridPos.W > 24 {
				x, y, height = 0, y+height, 0
			}
			p.GridPos.X, p.GridPos.Y = x, y
			x, height = x+p.GridPos.W, max(height, p.GridPos.H)
			all = append(all, p)
		}
		y += height
	}
	return all
}
