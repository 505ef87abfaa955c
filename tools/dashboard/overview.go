package main

// kindColors and resultColors are fixed colors of what has a fixed name. Red is not among them but for what is lost.
func kindColors() []string {
	return []string{
		"auth-failure", "orange", "auth-success", "blue", "firewall-block", "semi-dark-green", "firewall-accept", "light-blue",
		"ban", "purple", "probe", "yellow", "web-attack", "dark-orange", "mail-abuse", "light-purple",
	}
}

func resultColors() []string {
	return []string{
		"delivered", "green", "duplicate", "light-green", "dry-run", "blue", "later", "yellow", "closed", "orange", "rejected", "dark-orange",
		"dismissed", "light-purple", "expired", lost,
	}
}

func overview() row {
	return row{"Overview: what happens, and is all well?", []panel{
		help(24, 2, "What is wrong now, with cause and remedy: [the page](${page}/) or [its list of problems](${page}/healthz). What each row answers, and what to do: "+
			"[grafana.md](${docs}/grafana.md), on every host with tattled as `/usr/share/doc/tattled/docs/grafana.md`."),
		stat("No answer", "How many hosts Prometheus cannot scrape: of these nothing is known.",
			"On the host, `systemctl status tattled` and `journalctl -u tattled` say why it does not run.",
			now(`count(up{job=~"$job", instance=~"$instance"} == 0) or count(up{job=~"$job", instance=~"$instance"}) * 0`, "hosts"),
			unit("none", 0), from(mute, 0, calm, 1, lost), empty("no host")),
		stat("Problems", "How many things are wrong now: sources, destinations, the state file, senders.",
			"The page and /healthz name each, with its cause and what to do.",
			now(`sum(tattled_problems{instance=~"$instance"})`, "problems"), unit("none", 0), from(calm, 1, look), linked("", "What is wrong", "${page}/healthz")),
		stat("Attackers now", "How many addresses attacked in the last five minutes. One that attacks two hosts counts twice.",
			"Far more than usual is a botnet or a new attack: see the kinds and the services below.",
			now(`sum(tattled_attackers{instance=~"$instance"})`, "addresses"), unit("locale", 0), empty("none yet")),
		stat("Reports today", "How many addresses AbuseIPDB has accepted since midnight.",
			"None, with attackers about: see whether tattled sends at all (dry run), and the results in the row Reporting.",
			today, now(`sum(increase(tattled_reports_total{instance=~"$instance", result="delivered"}[$__range]))`, "reports"), unit("locale", 0)),
		stat("Alerts today", "How many alerts reached you since midnight.",
			"See your mail. None, where you expect some: the row Reporting has the results of sending.",
			today, now(`sum(increase(tattled_alerts_total{instance=~"$instance", result="delivered"}[$__range]))`, "alerts"), unit("locale", 0), empty("no channel")),
		stat("Quota left", "Which part of today's reports AbuseIPDB still accepts, on the host that has the least.",
			"At none, reports wait in the outbox until the quota is reset, and none is lost. A larger plan, or a longer `window`, helps.",
			now(`min(tattled_abuseipdb_quota_remaining{instance=~"$instance", endpoint="report"} / tattled_abuseipdb_quota_limit{instance=~"$instance", endpoint="report"})`, "left"),
			unit("percentunit", 0), from(look, 0.2, calm), empty("not known yet")),
		stat("Dry run", "How many hosts do everything but send reports, because they have no key of AbuseIPDB.",
			"Put the key into /etc/tattled/abuseipdb.key there, then `tattled check && systemctl reload tattled`.",
			now(`sum(tattled_dry_run{instance=~"$instance"})`, "hosts"), unit("none", 0), from(calm, 1, look), words("none", calm)),
		stat("State file", "Whether what is seen can be stored. When the file is full nothing is accepted any more.",
			"Make room on the disk of /var/lib/tattled, or raise `store.max_size`.",
			now(`max(tattled_store_full{instance=~"$instance"})`, "full"), unit("none", 0), words("has room", calm, "full", lost)),

		graph("Events a minute, by kind", "How much is attacked, in which way. The dashed line is all of it a week ago, at the same time.",
			"A rise of one kind is an attack: look which service and which country it comes with. A fall to nothing is rarely peace: see the sources.",
			over(`sum by (kind) (rate(tattled_events_total{instance=~"$instance", reporter=~"$reporter", service=~"$service"}[$__rate_interval])) * 60`, "{{kind}}"),
			over(`sum(rate(tattled_events_total{instance=~"$instance", reporter=~"$reporter", service=~"$service"}[$__rate_interval] offset 1w)) * 60`, "all, a week ago"),
			unit("short", 1), size(15, 9), stacked, paint(kindColors()...), faint("B")),
		table("Against last week, by kind", "What is more, and what is less, than at the same time last week.",
			"A kind that is new or has grown by far is worth a look on the page; tattled needs no help with it.",
			columns([]string{"kind"}, []string{"Kind"},
				column{name: "Events", unit: "locale", expr: `sum by (kind) (increase(tattled_events_total{instance=~"$instance", reporter=~"$reporter", service=~"$service"}[$__range]))`},
				column{name: "A week ago", unit: "locale", expr: `sum by (kind) (increase(tattled_events_total{instance=~"$instance", reporter=~"$reporter", service=~"$service"}[$__range] offset 1w))`},
				column{name: "Change", unit: "percentunit", expr: `sum by (kind) (increase(tattled_events_total{instance=~"$instance", reporter=~"$reporter", service=~"$service"}[$__range]))
  / (sum by (kind) (increase(tattled_events_total{instance=~"$instance", reporter=~"$reporter", service=~"$service"}[$__range] offset 1w)) > 0) - 1`}),
			unit("locale", 0), size(9, 9), sorted("Events")),
	}}
}
