package daemon

import "tattled/receiver"

// sourceLabel is a source's name.
func sourceLabel() label {
	return label{"source", "the source as configured: journal, file:PATH, or a listener such as tcp://0.0.0.0:514"}
}

// sourceMetrics is where a metric about sources gets its line.
func (d *Daemon) sourceMetrics() {
	m, source := d.metrics, sourceLabel()
	m.subject = subjectSources
	meter := func(value func(*receiver.Meter) uint64) func(*scrape, emitter) {
		return d.eachSource(func(r receiver.Receiver, _ *scrape) float64 { return float64(value(r.Meter())) })
	}
	m.counter("receiver_records_total", "records", "Records received, whatever became of them.",
		meter(func(m *receiver.Meter) uint64 { return m.Records.Load() }), source)
	m.counter("receiver_bytes_total", "bytes", "Size of the records received, framing and header included.",
		meter(func(m *receiver.Meter) uint64 { return m.Bytes.Load() }), source)
	m.counter("receiver_dropped_total", "records", "Records received that went no further. Lost are those of bad-frame, too-many and out-of-step; not-allowed counts the connections and datagrams of senders that allow does not name.",
		d.dropped, source, oneOf("reason", textsOf(receiver.Reasons())...))
	m.counter("receiver_skipped_total", "records", "Records received that tattled itself had logged, which are never judged.",
		meter(func(m *receiver.Meter) uint64 { return m.Skipped.Load() }), source)
	m.counter("receiver_outcomes_total", "records", "Records received that were judged. With those dropped and skipped they are all that were received.",
		d.outcomes, source, oneOf("outcome", "matched", "ignored", "refused"))
	m.counter("receiver_errors_total", "errors", "Transient faults of a source: failed reads, helpers that died, clients that misbehaved.",
		meter(func(m *receiver.Meter) uint64 { return m.Errors.Load() }), source)
	m.counter("receiver_gaps_total", "gaps", "Places where records were lost before they could be read.",
		meter(func(m *receiver.Meter) uint64 { return m.Gaps.Load() }), source)
	m.counter("receiver_cut_total", "records", "Records longer than their source accepts, of which the rest was not read.",
		meter(func(m *receiver.Meter) uint64 { return m.Cut.Load() }), source)
	m.counter("receiver_carriage_returns_total", "connections", "Connections whose lines are separated by carriage returns alone, so that they cannot be read.",
		meter(func(m *receiver.Meter) uint64 { return m.CarriageReturns.Load() }), source)
	m.counter("receiver_second_opinions_total", "records", "Records whose header was left to go-syslog's parser, of listeners alone, and whether it knew it.",
		d.secondOpinions, source, oneOf("result", "known", "unknown", "panicked"))
	m.gauge("source_up", yesNo, "Whether a source can be read. It cannot while it is missing, cannot be opened or may not be read; it is tried again.",
		d.eachSource(func(r receiver.Receiver, _ *scrape) float64 { return oneIf(up(r)) }), source)
	m.gauge("source_last_record_timestamp_seconds", unixTime, "When the last record of a source was read; 0 if none was since the start.",
		d.eachSource(func(r receiver.Receiver, _ *scrape) float64 {
			return unixOrZero(d.tally.source(r.Source()).habit.lastRecord())
		}), source)
	m.gauge("receiver_lag_seconds", "seconds", "Between the time of the last record that had one and its reading; 0 when nothing has come for a minute.",
		d.eachSource(func(r receiver.Receiver, s *scrape) float64 {
			return d.tally.source(r.Source()).lagAt(s.now).Seconds()
		}), source)
	for _, what := range []struct {
		opens         opens
		name, meaning string
	}{
		{openConnections, "connections", "Open connections of a listener that has such."},
		{openFiles, "files", "Open log files of a source that follows files."},
		{openHelpers, "helpers", "Running helpers of the journal."},
	} {
		m.gauge("receiver_"+what.name, what.name, what.meaning, d.open(what.opens), source)
	}
}

// eachSource is a metric of every source.
func (d *Daemon) eachSource(value func(receiver.Receiver, *scrape) float64) func(*scrape, emitter) {
	return func(s *scrape, emit emitter) {
		for _, r := range d.receivers {
			emit(value(r, s), r.Source())
		}
	}
}

// open is a metric of the sources that open such things.
func (d *Daemon) open(what opens) func(*scrape, emitter) {
	return func(_ *scrape, emit emitter) {
		for _, r := range d.receivers {
			if d.opens[r.Source()] == what {
				emit(float64(r.Meter().Open.Load()), r.Source())
			}
		}
	}
}

func (d *Daemon) dropped(_ *scrape, emit emitter) {
	for _, r := range d.receivers {
		for _, reason := range receiver.Reasons() {
			emit(float64(r.Meter().Dropped(reason)), r.Source(), reason.String())
		}
	}
}

func (d *Daemon) outcomes(_ *scrape, emit emitter) {
	for _, r := range d.receivers {
		t := d.tally.source(r.Source())
		emit(float64(t.matched.Load()), r.Source(), "matched")
		emit(float64(t.ignored.Load()), r.Source(), "ignored")
		emit(float64(t.refused.Load()), r.Source(), "refused")
	}
}

// secondOpinions are asked of listeners alone: see receiver/syslog.
func (d *Daemon) secondOpinions(_ *scrape, emit emitter) {
	for _, r := range d.receivers {
		if l, ok := opened(r).(interface {
			SecondOpinions() (asked, known, panicked uint64)
		}); ok {
			asked, known, panicked := l.SecondOpinions()
			emit(float64(known), r.Source(), "known")
			emit(float64(asked-known-panicked), r.Source(), "unknown")
			emit(float64(panicked), r.Source(), "panicked")
		}
	}
}
