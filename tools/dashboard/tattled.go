package main

// tattled is the dashboard of one host or of a few: what happens, and whether tattled sees and reports it.
func tattled() dashboard {
	return dashboard{
		UID: "tattled", Title: "tattled", Tags: []string{"tattled"}, SchemaVersion: 39, Version: 1, Editable: true, GraphTooltip: 1,
		Description: "Attacks that tattled detects, what it reports, and whether it sees everything. docs/grafana.md explains each row.",
		Timezone:    "browser", Refresh: "30s", Time: span{"now-6h", "now"},
		Links: []link{
			page("Live page", "What happens now, address by address", "${page}/"),
			page("Problems", "What is wrong now, with cause and remedy", "${page}/healthz"),
			page("Documentation", "What each row answers; also /usr/share/doc/tattled/docs/grafana.md on the host", "${docs}/grafana.md"),
			others("All hosts and more", "The other dashboards of tattled"),
		},
		Annotations: annotations{List: []annotation{
			at("Restarts", look, `process_start_time_seconds{job=~"$job", instance=~"$instance"} * 1000`, "{{instance}} started"),
			at("Reloads", "blue", `tattled_config_last_reload_success_timestamp_seconds{instance=~"$instance"} * 1000`, "{{instance}} took a configuration"),
		}},
		Templating: templating{List: []variable{
			chosenSource(),
			asked("instance", "Instance", "The hosts that are shown, by the address at which Prometheus scrapes them.", "label_values(tattled_build_info, instance)", 0),
			asked("reporter", "Reporter", "The servers and logs, as `reporter` in the configuration names them. It has an effect on the events by service, kind and reporter.",
				`label_values(tattled_events_total{instance=~"$instance"}, reporter)`, 0),
			asked("service", "Service", "The services that were attacked. It has an effect on events, rules and refused lines.",
				`label_values(tattled_events_total{instance=~"$instance"}, service)`, 0),
			asked("job", "Job", "Prometheus' name for the scrapes of tattled: it separates the metrics of its process from those of others.",
				`label_values(tattled_build_info{instance=~"$instance"}, job)`, 2),
			typed("page", "Page", "Where your browser reaches the page of tattled: the links lead there.", "http://127.0.0.1:9817"),
			typed("docs", "Docs", "Where the documentation is: every host with tattled has it in this folder. Browsers follow links to files only where they are allowed to.",
				"file:///usr/share/doc/tattled/docs"),
		}},
		Panels: place([]row{overview(), sources(), detection(), geography(), reporting(), health()}),
	}
}

func page(title, tooltip, url string) link {
	return link{Title: title, Type: "link", Icon: "external link", Tooltip: tooltip, URL: url, Tags: []string{}, TargetBlank: true}
}

func others(title, tooltip string) link {
	return link{Title: title, Type: "dashboards", Icon: "dashboard", Tooltip: tooltip, Tags: []string{"tattled"}, KeepTime: true}
}

// at marks the times that a query gives, in milliseconds.
func at(name, iconColor, expr, title string) annotation {
	return annotation{
		Name: name, Datasource: source(), Enable: true, IconColor: iconColor, Expr: expr, Step: "1m", UseValueForTime: true, TitleFormat: title, TagKeys: "instance",
		Target: target{RefID: "Anno", Datasource: source(), EditorMode: "code", Expr: expr, LegendFormat: title, Range: true, Format: "time_series", Interval: "1m"},
	}
}

func chosenSource() variable {
	return variable{
		Name: "datasource", Label: "Data source", Description: "The Prometheus that scrapes tattled.", Type: "datasource", Query: "prometheus", Refresh: 1,
		Current: map[string]any{"selected": true, "text": "default", "value": "default"}, Options: []any{},
	}
}

// asked is a variable whose values Prometheus knows; all of them are chosen at first. Those that hide has at 2 are not shown; for them all are
// the ones that Prometheus knows, and for the others whatever there is.
func asked(name, label, description, query string, hide int) variable {
	ds := source()
	v := variable{
		Name: name, Label: label, Description: description, Type: "query", Datasource: &ds, Definition: query, Query: variableQuery{query, name},
		Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: ".*", Hide: hide, Options: []any{},
		Current: map[string]any{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}},
	}
	if hide == 2 {
		v.AllValue = ""
	}
	return v
}

func typed(name, label, description, text string) variable {
	value := map[string]any{"selected": true, "text": text, "value": text}
	return variable{Name: name, Label: label, Description: description, Type: "textbox", Query: text, Current: value, Options: []any{value}}
}
