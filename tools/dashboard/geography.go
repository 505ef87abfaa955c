package main

func geography() row {
	const events = `sum by (country) (increase(tattled_events_by_country_total{instance=~"$instance", country!="??"}[$__range]))`
	const all = `sum by (country) (increase(tattled_events_by_country_total{instance=~"$instance"}[$__range]))`
	const before = `sum by (country) (increase(tattled_events_by_country_total{instance=~"$instance"}[$__range] offset $__range))`
	return row{"Geography: where does it come from?", []panel{
		worldMap("Events by country", "Where the addresses of the events are, by the GeoIP database. The larger the circle, the more.",
			"Nothing here: set geoip.city or geoip.country in the configuration. A country is where the address is hosted, not who attacks.",
			size(14, 12), unit("locale", 0), empty("no GeoIP"),
			func(p *panel) { p.add(target{Expr: events, Instant: true, Format: "table"}) }),
		table("Countries", "Which countries have which share of the events, and how that compares with the time before that is as long.",
			"A country that is new or grows by far is a new source of attacks. ?? is not known: the database has no entry, or there is none.",
			columns([]string{"country"}, []string{"Country"},
				column{name: "Events", unit: "locale", expr: all + " > 0"},
				column{name: "Share", unit: "percentunit", decimals: 1, expr: all + "\n  / ignoring (country) group_left () (sum(increase(tattled_events_by_country_total{instance=~\"$instance\"}[$__range])) > 0) > 0"},
				column{name: "Change", unit: "percentunit", expr: all + "\n  / (" + before + " > 0) - 1"}),
			unit("locale", 0), size(10, 12), sorted("Events"), empty("new")),
	}}
}
