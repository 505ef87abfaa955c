package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"time"
)

// palette is for series without a color of their own.
func palette(i int) string {
	lines := strings.Fields("#56a64b #3274d9 #e0b400 #8f3bb8 #37872d #5794f2 #ff9830 #b877d9 #73bf69 #1f60c4 #fade2a #a352cc #96d98d #8ab8ff")
	return lines[i%len(lines)]
}

// web is a color of Grafana's as browsers know it.
func web(name string) string { return colors()[name] }

func colors() map[string]string {
	return map[string]string{
		"green": "#56a64b", "light-green": "#96d98d", "semi-dark-green": "#37872d", "orange": "#ff780a", "dark-orange": "#c4501b", "yellow": "#e0b400",
		"blue": "#3274d9", "light-blue": "#8ab8ff", "purple": "#8f3bb8", "light-purple": "#ca95e5", "text": "#24292e", "red": "#e02f44",
		"light-red": "#ff7383", "dark-red": "#ad0317",
	}
}

// curve is a series as it is drawn.
type curve struct {
	name    string
	color   string
	dashed  bool
	stacked bool
	points  []point
}

func curves(p panel, answers []answer) []curve {
	stack := p.FieldConfig.Defaults.Custom["stacking"].(map[string]any)["mode"] == "normal"
	var all []curve
	for _, a := range answers {
		for _, s := range a.Series {
			c := curve{name: short(name(a.Legend, s.Labels)), color: palette(len(all)), stacked: stack, points: s.Points}
			for _, o := range p.FieldConfig.Overrides {
				if (o.Matcher.ID == "byName" && o.Matcher.Options == c.name) || (o.Matcher.ID == "byFrameRefID" && o.Matcher.Options == a.Ref) {
					c.take(o.Properties)
				}
			}
			all = append(all, c)
		}
	}
	return all
}

func (c *curve) take(properties []property) {
	for _, one := range properties {
		switch one.ID {
		case "color":
			c.color = web(one.Value.(color).FixedColor)
		case "custom.lineStyle":
			c.dashed, c.stacked = true, false
		}
	}
}

// drawGraph is lines over time, or areas on top of each other.
func drawGraph(p panel, answers []answer, w, h int) string {
	all := curves(p, answers)
	h -= 30
	const left, bottom = 58, 16
	base := map[float64]float64{}
	top := 0.0
	lows := make([][]float64, len(all))
	for i, c := range all {
		for _, pt := range c.points {
			low := 0.0
			if c.stacked {
				low = base[pt[0]]
				base[pt[0]] += pt[1]
			}
			lows[i] = append(lows[i], low)
			top = max(top, low+pt[1])
		}
	}
	if top == 0 {
		top = 1
	}
	from, to := spanOf(answers)
	x := func(t float64) float64 { return left + (t-from)/max(1, to-from)*float64(w-left) }
	y := func(v float64) float64 { return float64(h-bottom) - v/top*float64(h-bottom-8) }
	var b, legend strings.Builder
	fmt.Fprintf(&b, `<svg width=%d height=%d>`, w, h)
	for _, part := range []float64{0, 0.5, 1} {
		text, _ := p.FieldConfig.Defaults.show(top * part)
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ececed"/><text x=%d y=%.1f text-anchor=end>%s</text>`, left, y(top*part), w, left-4, y(top*part)+4, html.EscapeString(text))
	}
	fmt.Fprintf(&b, `<text x=%d y=%d>%s</text><text x=%d y=%d text-anchor=end>%s</text>`, left, h-3, clock(from), w, h-3, clock(to))
	for i, c := range all {
		b.WriteString(c.path(lows[i], x, y))
		fmt.Fprintf(&legend, `<i style="background:%s"></i>%s`, c.color, html.EscapeString(c.name))
	}
	if len(all) == 0 {
		return html.EscapeString(p.FieldConfig.Defaults.NoValue)
	}
	return b.String() + "</svg><div class=legend>" + legend.String() + "</div>"
}

func (c curve) path(lows []float64, x, y func(float64) float64) string {
	var line, back string
	for i, pt := range c.points {
		line += fmt.Sprintf("%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], x(pt[0]), y(lows[i]+pt[1]))
		back = fmt.Sprintf("L%.1f %.1f", x(pt[0]), y(lows[i])) + back
	}
	if c.dashed {
		return fmt.Sprintf(`<path d="%s" fill=none stroke="%s" stroke-dasharray="6 4"/>`, line, c.color)
	}
	opacity := 0.1
	if c.stacked {
		opacity = 0.4
	}
	return fmt.Sprintf(`<path d="%s%sZ" fill="%s" fill-opacity=%.1f /><path d="%s" fill=none stroke="%s" stroke-width=1.3 />`, line, back, c.color, opacity, line, c.color)
}

func spanOf(answers []answer) (from, to float64) {
	if len(answers) == 0 {
		return 0, 1
	}
	return answers[0].From, answers[0].To
}

func clock(t float64) string { return time.Unix(int64(t), 0).UTC().Format("15:04:05") }

// drawStates is a bar for each series.
func drawStates(p panel, answers []answer, w, h int) string {
	from, to := spanOf(answers)
	left := min(250, w*5/8)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg width=%d height=%d>`, w, h)
	top := 4
	for _, a := range answers {
		for _, s := range a.Series {
			fmt.Fprintf(&b, `<text x=%d y=%d text-anchor=end>%s</text>`, left-6, top+13, html.EscapeString(short(name(a.Legend, s.Labels))))
			for i, pt := range s.Points {
				next := to
				if i+1 < len(s.Points) {
					next = s.Points[i+1][0]
				}
				x := func(t float64) float64 { return float64(left) + (t-from)/max(1, to-from)*float64(w-left) }
				_, color := p.FieldConfig.Defaults.show(pt[1])
				fmt.Fprintf(&b, `<rect x=%.1f y=%d width=%.1f height=18 fill="%s" shape-rendering=crispEdges />`, x(pt[0]), top, x(next)-x(pt[0])+0.4, web(color))
			}
			top += 24
		}
	}
	fmt.Fprintf(&b, `<text x=%d y=%d>%s</text><text x=%d y=%d text-anchor=end>%s</text></svg>`, left, h-3, clock(from), w, h-3, clock(to))
	return b.String()
}

// drawMap puts circles where a few countries are. Grafana has a map below them.
func drawMap(answers []answer, w, h int) string {
	places := map[string][2]float64{ // latitude, longitude
		"BE": {50.8, 4.5}, "BR": {-10, -55}, "CN": {35, 105}, "KP": {40, 127}, "NL": {52.5, 5.8}, "US": {38, -97}, "VN": {16, 106},
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg width=%d height=%d>`, w, h)
	x := func(lon float64) float64 { return (lon + 180) / 360 * float64(w) }
	y := func(lat float64) float64 { return (85 - lat) / 145 * float64(h) }
	for lon := -180.0; lon <= 180; lon += 30 {
		fmt.Fprintf(&b, `<path d="M%.1f 0V%d" stroke="#ececed"/>`, x(lon), h)
	}
	for lat := -60.0; lat <= 85; lat += 30 {
		fmt.Fprintf(&b, `<path d="M0 %.1fH%d" stroke="#ececed"/>`, y(lat), w)
	}
	most := 1.0
	for _, a := range answers {
		for _, s := range a.Series {
			most = max(most, s.Points[0][1])
		}
	}
	for _, a := range answers {
		for _, s := range a.Series {
			at, known := places[s.Labels["country"]]
			if !known {
				continue
			}
			size := 4 + 20*s.Points[0][1]/most
			fmt.Fprintf(&b, `<circle cx=%.1f cy=%.1f r=%.1f fill="#3274d9" fill-opacity=0.5 /><text x=%.1f y=%.1f text-anchor=middle>%s %s</text>`,
				x(at[1]), y(at[0]), size, x(at[1]), y(at[0])+4, s.Labels["country"], grouped(strconv.FormatFloat(s.Points[0][1], 'f', 0, 64)))
		}
	}
	return b.String() + "</svg>"
}

// show is a value as Grafana writes it, and its color.
func (f field) show(v float64) (text, color string) {
	for _, s := range f.Thresholds.Steps {
		if s.Value == nil || v >= *s.Value {
			color = s.Color
		}
	}
	for _, m := range f.Mappings {
		if w, ok := m.Options[strconv.FormatFloat(v, 'f', -1, 64)]; ok {
			return w.Text, w.Color
		}
	}
	decimals := 0
	if f.Decimals != nil {
		decimals = *f.Decimals
	}
	switch f.Unit {
	case "percentunit":
		return strconv.FormatFloat(v*100, 'f', decimals, 64) + "%", color
	case "s":
		return lasting(v, decimals), color
	case "bytes":
		return scaled(v, decimals, 1024, " B", " KiB", " MiB", " GiB", " TiB"), color
	case "locale":
		return grouped(strconv.FormatFloat(v, 'f', decimals, 64)), color
	case "none":
		return strconv.FormatFloat(v, 'f', decimals, 64), color
	}
	return scaled(v, decimals, 1000, "", " K", " Mil", " Bil"), color
}

// grouped has a comma before each three digits in front of the point.
func grouped(number string) string {
	digits, rest, point := strings.Cut(number, ".")
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if point {
		digits += "." + rest
	}
	return digits
}

func scaled(v float64, decimals int, by float64, names ...string) string {
	i := 0
	for math.Abs(v) >= by && i < len(names)-1 {
		v, i = v/by, i+1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + names[i]
}

func lasting(v float64, decimals int) string {
	for _, u := range []struct {
		size float64
		name string
	}{{86400, " day"}, {3600, " hour"}, {60, " min"}, {1, " s"}} {
		if math.Abs(v) >= u.size {
			return strconv.FormatFloat(v/u.size, 'f', decimals, 64) + u.name
		}
	}
	if v == 0 {
		return "0 s"
	}
	return strconv.FormatFloat(v*1000, 'f', decimals, 64) + " ms"
}
