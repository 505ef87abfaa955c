package daemon

import "runtime"

// daemonMetrics is where a metric about the daemon itself gets its line.
func (d *Daemon) daemonMetrics() {
	m := d.metrics
	m.subject = subjectDaemon
	m.gauge("problems", "problems", "Current problems: /healthz names each with cause and remedy.", single(func(*scrape) float64 { return float64(len(d.health().Problems)) }))
	m.gauge("config_last_reload_successful", yesNo, "Whether the last reload of the configuration took effect, or there was none; one that failed changed nothing.",
		single(func(*scrape) float64 { return oneIf(d.reloads.ok()) }))
	m.gauge("config_last_reload_success_timestamp_seconds", unixTime, "When the configuration took effect last: at the start, or at a reload that succeeded.",
		single(func(*scrape) float64 { return float64(d.reloads.succeeded.Load()) / 1e9 }))
	m.gauge("geoip_database_build_timestamp_seconds", unixTime, "When a GeoIP database in use was built.", d.geoIPBuilds, oneOf("database", "city", "country", "asn"))
	m.gauge("build_info", "always 1", "What runs.", func(_ *scrape, emit emitter) { emit(1, d.options.Version, runtime.Version()) },
		label{"version", "tattled's"}, label{"goversion", "that of the Go toolchain it was built with"})
}

func (d *Daemon) geoIPBuilds(_ *scrape, emit emitter) {
	for name, at := range d.places.Builds() {
		emit(unixOrZero(at), name)
	}
}
