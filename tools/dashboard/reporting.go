package main

func reporting() row {
	return row{"Reporting: does it reach AbuseIPDB and you?", []panel{
		states("Destinations", "When each destination answered and took what it was sent.",
			"While a bar is orange the outbox keeps what is due: the page says what it answers. A refused key: put a new one in its file and reload.",
			over(`min by (instance, destination) (tattled_destination_up{instance=~"$instance"})`, "{{instance}} {{destination}}"),
			unit("none", 0), size(8, 8), from(look, 1, calm), words("fails", look, "takes all", calm), empty("dry run")),
		graph("Reports a minute, by result", "What became of the attempts to report. Later and closed are tried again; expired is lost.",
			"Rejected: the page's outbox has the answer of AbuseIPDB. Expired: it did not take reports for too long, see the destinations.",
			over(`sum by (destination, result) (rate(tattled_reports_total{instance=~"$instance"}[$__rate_interval])) * 60`, "{{result}}"),
			unit("short", 1), paint(resultColors()...)),
		graph("Alerts a minute, by result", "What became of the attempts to alert you.",
			"Later or closed: the mail server does not answer or refuses: see the log. Expired: an alert that you never got.",
			over(`sum by (channel, result) (rate(tattled_alerts_total{instance=~"$instance"}[$__rate_interval])) * 60`, "{{result}}"),
			unit("short", 1), paint(resultColors()...), empty("no channel")),
		graph("Latency", "How long it took from the judgement until the destination accepted a report: half of them, 95 and 99 of a hundred.",
			"Minutes: the destination is slow, the `rate` is low, or the quota is used up.",
			over(quantile("0.5", "tattled_report_latency_seconds"), "half"),
			over(quantile("0.95", "tattled_report_latency_seconds"), "95 %"),
			over(quantile("0.99", "tattled_report_latency_seconds"), "99 %"),
			unit("s", 2), empty("no report")),
		graph("Outbox", "How many reports and alerts wait, or are being sent.",
			"It grows while a destination fails or the quota is used up, and empties afterwards. Beyond `store.waiting` the oldest are lost.",
			over(`sum by (destination, state) (tattled_outbox_items{instance=~"$instance", state=~"pending|claimed"})`, "{{destination}} {{state}}"),
			unit("locale", 0)),
		graph("Oldest in the outbox", "How long the oldest item has been waiting, by destination.",
			"Above an hour: the destination fails, refuses the key, or its quota is used up: see its state and the quota.",
			over(`max by (destination) (tattled_outbox_oldest_seconds{instance=~"$instance"})`, "{{destination}}"),
			unit("s", 0), from(calm, 3600, look), line),
		graph("AbuseIPDB's quota", "How many requests are left today, and, dashed, how many would be left in six hours at the pace of the last one.",
			"A forecast of none before the reset: a larger plan, a longer `window`, or fewer policies that report.",
			over(`min by (endpoint) (tattled_abuseipdb_quota_remaining{instance=~"$instance"})`, "{{endpoint}}"),
			over(`clamp_min(min by (endpoint) (predict_linear(tattled_abuseipdb_quota_remaining{instance=~"$instance"}[1h], 6 * 3600)), 0)`, "{{endpoint}}, in six hours"),
			unit("locale", 0), faint("B"), empty("not known yet")),
		stat("Quota lasts for", "How long the quota of reports lasts at the pace of the last hour.",
			"Less than what is left of AbuseIPDB's day: the rest of the reports wait until the quota is reset.",
			now(`min(tattled_abuseipdb_quota_remaining{instance=~"$instance", endpoint="report"} / (deriv(tattled_abuseipdb_quota_remaining{instance=~"$instance", endpoint="report"}[1h]) < 0) * -1)`, "at this pace"),
			unit("s", 0), size(8, 4), from(look, 86400, calm), empty("no report in an hour")),
		stat("Held back", "Reports that were held back because the state file was restored and may have forgotten whom it reported.",
			"They stop after one `window`. docs/state-file.md says what happened to the file.",
			now(`sum(increase(tattled_store_reports_held_total{instance=~"$instance"}[$__range]))`, "reports"), unit("locale", 0), size(8, 4), under, from(calm, 1, look)),
		graph("Refused by the gate a minute, by reason", "Reports that were not made, whatever a policy said: private, own and trusted addresses, senders that prove nothing, events too old.",
			"Untrusted or unproven: the source may not lead to reports; see `trust`, `allow` and docs/honest.md. Future or too-old: a clock is wrong.",
			over(`sum by (reason) (rate(tattled_policy_gate_refused_total{instance=~"$instance"}[$__rate_interval])) * 60
  and on (reason) sum by (reason) (increase(tattled_policy_gate_refused_total{instance=~"$instance"}[$__range])) > 0`, "{{reason}}"),
			unit("short", 1), size(8, 8)),
		graph("Decisions a minute, by policy", "Which policies were reached, and what came of it: report, alert, count, or muted because it was done before.",
			"A policy that decides too much has a threshold that is too low for your hosts: `tattled check --policies` prints it.",
			over(`sum by (policy, action) (rate(tattled_policy_decisions_total{instance=~"$instance"}[$__rate_interval])) * 60`, "{{policy}} {{action}}"),
			unit("short", 1), size(12, 8)),
		graph("Scores asked for a minute, by result", "Lookups of AbuseIPDB's score, for policies that ask for one.",
			"Failed, refused or no-key: the alert comes without a score, or not at all, as `reputation.unknown` says.",
			over(`sum by (result) (rate(tattled_reputation_lookups_total{instance=~"$instance"}[$__rate_interval])) * 60`, "{{result}}"),
			unit("short", 1), size(12, 8), paint("cached", "light-green", "known", "green", "unknown", "blue", "no-key", "yellow", "refused", "orange", "failed", "dark-orange")),
	}}
}

// quantile is of a histogram, whether Prometheus took its buckets or, as it may from version 3 on, its native form.
func quantile(q, histogram string) string {
	return "histogram_quantile(" + q + ", sum by (le) (rate(" + histogram + "_bucket{instance=~\"$instance\"}[$__rate_interval])))\n" +
		"  or histogram_quantile(" + q + ", sum(rate(" + histogram + "{instance=~\"$instance\"}[$__rate_interval])))"
}
