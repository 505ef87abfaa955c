package daemon

import "tattled/store"

// storeMetrics is where a metric about the state file gets its line.
func (d *Daemon) storeMetrics() {
	m := d.metrics
	m.subject = subjectStore
	stats := func(value func(*store.Stats) float64) func(*scrape, emitter) {
		return single(func(s *scrape) float64 { return value(&s.stats) })
	}
	m.counter("store_commits_total", "transactions", "Transactions committed.", stats(func(s *store.Stats) float64 { return float64(s.Commits) }))
	m.gauge("store_bytes", "bytes", "What of the state file is in use.", stats(func(s *store.Stats) float64 { return float64(s.Usage.Used) }))
	m.gauge("store_file_bytes", "bytes", "Size of the state file.", stats(func(s *store.Stats) float64 { return float64(s.Usage.Size) }))
	m.gauge("store_limit_bytes", "bytes", "What the state file may grow to (store.max_size).", stats(func(s *store.Stats) float64 { return float64(s.Usage.Max) }))
	m.gauge("store_events", "events", "Events kept.", stats(func(s *store.Stats) float64 { return float64(s.Events) }))
	m.gauge("store_addresses", "addresses", "Addresses (of IPv6: /64 networks) kept.", stats(func(s *store.Stats) float64 { return float64(s.Addresses) }))
	m.counter("store_damaged_total", "records", "Records of the state file that failed their checksum and were quarantined.", stats(func(s *store.Stats) float64 { return float64(s.Damaged) }))
	m.counter("store_reports_held_total", "reports", "Reports that were held back because the state file was restored and their addresses may have been reported before.",
		stats(func(s *store.Stats) float64 { return float64(s.Held) }))
	m.counter("store_backups_total", "backups", "Backups of the state file: made, skipped for lack of space, or failed.", simple(d.backups.each), oneOf("result", backupResults()...))
	m.counter("store_evicted_total", "records", "What retention and limits removed; waiting are reports that were never sent.", d.evicted, oneOf("what", store.Evictable()...))
	m.gauge("store_full", yesNo, "Whether there is no space left and nothing is accepted.", single(func(*scrape) float64 { return oneIf(d.committer.Full()) }))
	m.gauge("store_commit_waiting_seconds", "seconds", "How long the current commit has been running: long when the disk does not respond.",
		single(func(*scrape) float64 { return d.committer.Committing().Seconds() }))
}

func (d *Daemon) evicted(s *scrape, emit emitter) {
	for what, n := range s.stats.Evicted {
		emit(float64(n), what)
	}
}
