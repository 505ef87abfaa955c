package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// view is what a person looks at: a span of time, and what is chosen at the top of the page.
type view struct {
	from, to time.Time
	scrape   time.Duration       // how often Prometheus scrapes, as the data source says
	points   int                 // how many points a graph has at most
	chosen   map[string][]string // the values of variables; all, where there is none
	known    map[string][]string // what Prometheus knows, for variables without a value for all
}

// interval is the distance between two points of a graph.
func (v view) interval() time.Duration {
	return max(v.to.Sub(v.from)/time.Duration(v.points), v.scrape).Truncate(time.Second)
}

// rateInterval is long enough for a rate: it holds four scrapes, and no gap is between two points.
func (v view) rateInterval() time.Duration { return max(v.interval()+v.scrape, 4*v.scrape) }

// within is the span that a panel shows.
func (v view) within(timeFrom string) view {
	if timeFrom != "now/d" {
		return v
	}
	day := v.to.UTC().Truncate(24 * time.Hour)
	if v.to.Sub(day) < time.Hour { // of a day that has just begun nothing is known: take that of another time zone
		day = day.Add(-12 * time.Hour)
	}
	v.from = day
	return v
}

var reference = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(?:\.[^:}]+)?(?::(\w+))?\}`)

// fill puts values in the places of variables, as Grafana and its data source for Prometheus do.
func (v view) fill(expr string, vars []variable) (string, error) {
	var fault error
	filled := reference.ReplaceAllStringFunc(expr, func(found string) string {
		m := reference.FindStringSubmatch(found)
		name := m[1] + m[2]
		switch name {
		case "__rate_interval":
			return seconds(v.rateInterval())
		case "__interval":
			return seconds(v.interval())
		case "__range":
			return seconds(v.to.Sub(v.from))
		}
		for _, one := range vars {
			if one.Name == name {
				return v.value(one)
			}
		}
		fault = fmt.Errorf("%s is not a variable of the dashboard", found)
		return found
	})
	return filled, fault
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Round(time.Second).Seconds())) }

func (v view) value(one variable) string {
	values := v.chosen[one.Name]
	if len(values) == 0 {
		if one.AllValue != "" {
			return one.AllValue // as it is
		}
		values = v.known[one.Name]
	}
	var escaped []string
	for _, value := range values {
		escaped = append(escaped, escape(value))
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}

// escape makes a value one of a regular expression within a string of PromQL.
func escape(value string) string {
	value = strings.ReplaceAll(value, `\`, `\\\\`)
	return regexp.MustCompile(`[$^*{}\[\]+?.()|]`).ReplaceAllStringFunc(value, func(c string) string { return `\\` + c })
}
