package main

// fleet is the dashboard of many hosts: a line a host, and those that differ.
func fleet() dashboard {
	d := tattled()
	d.UID, d.Title = "tattled-fleet", "tattled: all hosts"
	d.Description = "Every host with tattled, one in a line: which one does not answer, does not see, or does not report. docs/grafana.md explains it."
	d.Links = []link{d.Links[2], others("One host", "The other dashboards of tattled")}
	d.Templating.List = []variable{chosenSource(), d.Templating.List[1], d.Templating.List[4], d.Templating.List[6]}
	d.Panels = place([]row{{"All hosts", []panel{hosts(), fleetEvents(), fleetRecords(), fleetProblems()}}})
	return d
}

func hosts() panel {
	return table("Hosts", "Each host in one line. Up is red where Prometheus gets no answer.",
		"Click on a host for its dashboard, which says what each figure means and what to do.",
		columns([]string{"instance"}, []string{"Host"},
			column{name: "Up", unit: "none", words: mapped("no answer", lost, "up", calm), expr: `max by (instance) (up{job=~"$job", instance=~"$instance"})`},
			column{name: "Problems", unit: "none", steps: steps(calm, 1, look), expr: `max by (instance) (tattled_problems{instance=~"$instance"})`},
			column{name: "Blind sources", unit: "none", steps: steps(calm, 1, lost), expr: `sum by (instance) (1 - tattled_source_up{instance=~"$instance"})`},
			column{name: "Lost records", unit: "locale", steps: steps(calm, 1, lost), expr: `sum by (instance) (increase(tattled_receiver_dropped_total{instance=~"$instance", reason=~"bad-frame|too-many|out-of-step"}[$__range]))
  + sum by (instance) (increase(tattled_receiver_gaps_total{instance=~"$instance"}[$__range]))`},
			column{name: "Lag", unit: "s", steps: steps(calm, 60, look), expr: `max by (instance) (tattled_receiver_lag_seconds{instance=~"$instance"})`},
			column{name: "Events a minute", unit: "short", decimals: 1, expr: `sum by (instance) (rate(tattled_events_total{instance=~"$instance"}[$__rate_interval])) * 60`},
			column{name: "Attackers", unit: "locale", expr: `max by (instance) (tattled_attackers{instance=~"$instance"})`},
			column{name: "Sends", unit: "none", words: mapped("yes", calm, "dry run", look), expr: `max by (instance) (tattled_dry_run{instance=~"$instance"})`},
			column{name: "Reports", unit: "locale", expr: `sum by (instance) (increase(tattled_reports_total{instance=~"$instance", result="delivered"}[$__range]))`},
			column{name: "Oldest in outbox", unit: "s", steps: steps(calm, 3600, look), expr: `max by (instance) (tattled_outbox_oldest_seconds{instance=~"$instance"})`},
			column{name: "Quota left", unit: "percentunit", steps: steps(look, 0.2, calm), expr: `min by (instance) (tattled_abuseipdb_quota_remaining{instance=~"$instance", endpoint="report"} / tattled_abuseipdb_quota_limit{instance=~"$instance", endpoint="report"})`},
			column{name: "File of limit", unit: "percentunit", steps: steps(calm, 0.8, look), expr: `max by (instance) (tattled_store_bytes{instance=~"$instance"} / tattled_store_limit_bytes{instance=~"$instance"})`},
			column{name: "Restarts", unit: "none", steps: steps(calm, 1, look), expr: `sum by (instance) (changes(process_start_time_seconds{job=~"$job", instance=~"$instance"}[$__range]))`},
			column{name: "Reload", unit: "none", words: mapped("failed", look, "fine", calm), expr: `min by (instance) (tattled_config_last_reload_successful{instance=~"$instance"})`}),
		linked("Host", "Open its dashboard", "/d/tattled?var-instance=${__value.raw}&${datasource:queryparam}&${__url_time_range}"),
		unit("locale", 0), size(24, 12), sorted("Events a minute"), empty("-"))
}

func fleetEvents() panel {
	return graph("Events a minute, by host", "Which hosts are attacked. The dashed line is all of them a week ago.",
		"All hosts at once: a wave. One alone: a target, or a service that is open on that host only.",
		over(`sum by (instance) (rate(tattled_events_total{instance=~"$instance"}[$__rate_interval])) * 60`, "{{instance}}"),
		over(`sum(rate(tattled_events_total{instance=~"$instance"}[$__rate_interval] offset 1w)) * 60`, "all, a week ago"),
		unit("short", 1), size(8, 9), stacked, faint("B"))
}

func fleetRecords() panel {
	return graph("Records a second, by host", "How much each host reads.",
		"A line that falls to nothing: see the sources of that host.",
		over(`sum by (instance) (rate(tattled_receiver_records_total{instance=~"$instance"}[$__rate_interval]))`, "{{instance}}"),
		unit("short", 1), size(8, 9))
}

func fleetProblems() panel {
	return states("Answers", "When each host answered Prometheus.",
		"While a bar is red nothing is known of that host: `systemctl status tattled` there.",
		over(`max by (instance) (up{job=~"$job", instance=~"$instance"})`, "{{instance}}"),
		unit("none", 0), size(8, 9), from(lost, 1, calm), words("no answer", lost, "up", calm))
}
