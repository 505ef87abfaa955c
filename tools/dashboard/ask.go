package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// answer is what Prometheus says to one query of a panel.
type answer struct {
	Dashboard string   `json:"dashboard"`
	Row       string   `json:"row"`
	Panel     int      `json:"panel"`
	Title     string   `json:"title"`
	Ref       string   `json:"ref"`
	Legend    string   `json:"legend"`
	Expr      string   `json:"expr"`
	Series    []series `json:"series"`
	From      float64  `json:"from"`
	To        float64  `json:"to"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	Points []point           `json:"points"`
}

// point is a time and a value.
type point [2]float64

// asker asks a Prometheus.
type asker struct {
	base string
	view view
}

// ask evaluates every query of every panel, and of annotations and variables, and prints a table of the answers.
func ask(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("dashboard ask", flag.ContinueOnError)
	base := flags.String("prometheus", "http://127.0.0.1:9090", "the Prometheus to ask")
	span := flags.Duration("span", 6*time.Hour, "how much time is shown")
	scrape := flags.Duration("scrape", 15*time.Second, "how often it scrapes")
	file := flags.String("answers", "", "a file for the answers, for dashboard draw")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	to := time.Now().Truncate(time.Second)
	a := asker{*base, view{from: to.Add(-*span), to: to, scrape: *scrape, points: 120}}
	var all []answer
	var faults []error
	for _, d := range []dashboard{tattled(), fleet()} {
		answers, err := a.dashboard(ctx, d)
		all, faults = append(all, answers...), append(faults, err)
	}
	printTable(all, out)
	if *file != "" {
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		if err := os.WriteFile(*file, text, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// dashboard asks for all of one. A query that gives nothing is an error.
func (a *asker) dashboard(ctx context.Context, d dashboard) ([]answer, error) {
	var all []answer
	var faults []error
	if err := a.learn(ctx, d); err != nil {
		return nil, err
	}
	add := func(v view, found answer, instant bool) {
		expr, err := v.fill(found.Expr, d.Templating.List)
		if err == nil {
			found.Expr, found.Dashboard = expr, d.UID
			found.From, found.To = float64(v.from.Unix()), float64(v.to.Unix())
			found.Series, err = a.query(ctx, v, expr, instant)
		}
		if err == nil && !says(found.Series) {
			err = errors.New("there is no answer")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s, %s, %s: %w: %s", d.UID, found.Title, found.Ref, err, expr))
		}
		all = append(all, found)
	}
	heading := ""
	for _, p := range d.Panels {
		if p.Type == "row" {
			heading, _, _ = strings.Cut(p.Title, ":")
		}
		for _, t := range p.Targets {
			add(a.view.within(p.TimeFrom), answer{Row: heading, Panel: p.ID, Title: p.Title, Ref: t.RefID, Legend: t.LegendFormat, Expr: t.Expr}, t.Instant)
		}
	}
	for _, one := range d.Annotations.List {
		add(a.view, answer{Row: "Annotations", Title: one.Name, Ref: "-", Legend: one.TitleFormat, Expr: one.Expr}, false)
	}
	return all, errors.Join(faults...)
}

// learn asks what the variables can be: each must have a value.
func (a *asker) learn(ctx context.Context, d dashboard) error {
	a.view.known = map[string][]string{}
	for _, one := range d.Templating.List {
		if one.Type != "query" {
			continue
		}
		query, err := a.view.fill(one.Definition, d.Templating.List)
		if err != nil {
			return err
		}
		selector, label := labelValues(query)
		var values []string
		if err := a.get(ctx, "/api/v1/label/"+label+"/values", url.Values{"match[]": {selector}, "start": {stamp(a.view.from)}, "end": {stamp(a.view.to)}}, &values); err != nil {
			return err
		}
		if len(values) == 0 {
			return fmt.Errorf("%s, variable %s: there is no value: %s", d.UID, one.Name, query)
		}
		a.view.known[one.Name] = values
	}
	return nil
}

// labelValues takes label_values(SELECTOR, LABEL) apart.
func labelValues(query string) (selector, label string) {
	inner := strings.TrimSuffix(strings.TrimPrefix(query, "label_values("), ")")
	comma := strings.LastIndex(inner, ",")
	return inner[:comma], strings.TrimSpace(inner[comma+1:])
}

func stamp(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func (a *asker) query(ctx context.Context, v view, expr string, instant bool) ([]series, error) {
	var data struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  sample            `json:"value"`
			Values []sample          `json:"values"`
		} `json:"result"`
	}
	path, with := "/api/v1/query_range", url.Values{"query": {expr}, "start": {stamp(v.from)}, "end": {stamp(v.to)}, "step": {seconds(v.interval())}}
	if instant {
		path, with = "/api/v1/query", url.Values{"query": {expr}, "time": {stamp(v.to)}}
	}
	if err := a.get(ctx, path, with, &data); err != nil {
		return nil, err
	}
	var all []series
	for _, r := range data.Result {
		if instant {
			r.Values = []sample{r.Value}
		}
		s := series{Labels: r.Metric}
		for _, one := range r.Values {
			if f := float64(one.value); !math.IsNaN(f) && !math.IsInf(f, 0) {
				s.Points = append(s.Points, point{one.at, f})
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// sample is [time, "value"].
type sample struct{ at, value float64 }

// UnmarshalJSON implements json.Unmarshaler.
func (s *sample) UnmarshalJSON(text []byte) error {
	var value string
	if err := json.Unmarshal(text, &[]any{&s.at, &value}); err != nil {
		return err
	}
	var err error
	s.value, err = strconv.ParseFloat(value, 64)
	return err
}

func (a *asker) get(ctx context.Context, path string, with url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path+"?"+with.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var body struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return fmt.Errorf("%s: %w", res.Status, err)
	}
	if body.Status != "success" {
		return errors.New(body.Error)
	}
	return json.Unmarshal(body.Data, into)
}

// says reports whether there is anything to see.
func says(all []series) bool {
	for _, s := range all {
		if len(s.Points) > 0 {
			return true
		}
	}
	return false
}

// printTable writes a line for each query.
func printTable(all []answer, out io.Writer) {
	fmt.Fprintf(out, "%-13s  %-34s  %-3s  %6s  %6s  %s\n", "row", "panel", "", "series", "points", "last values")
	for _, a := range all {
		points, last := 0, []string(nil)
		for _, s := range a.Series {
			points += len(s.Points)
			if len(s.Points) > 0 && len(last) < 3 {
				last = append(last, strings.TrimSpace(name(a.Legend, s.Labels)+" "+figure(s.Points[len(s.Points)-1][1])))
			}
		}
		row := a.Row
		if a.Dashboard != "tattled" {
			row = "fleet"
		}
		fmt.Fprintf(out, "%-13s  %-34s  %-3s  %6d  %6d  %s\n", row, a.Title, a.Ref, len(a.Series), points, strings.Join(last, ", "))
	}
}

func figure(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

// name is how a graph calls a series.
func name(legend string, labels map[string]string) string {
	if legend == "" {
		var all []string
		for _, l := range []string{"instance", "source", "kind", "service", "reason", "rule", "country", "version"} {
			if labels[l] != "" {
				all = append(all, labels[l])
			}
		}
		return strings.Join(all, " ")
	}
	for l, value := range labels {
		legend = strings.ReplaceAll(legend, "{{"+l+"}}", value)
	}
	return legend
}
