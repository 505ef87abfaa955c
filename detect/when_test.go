package detect

import (
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	latest := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for message, want := range map[string]time.Time{
		`203.0.113.5 - - [22/Nov/2026:11:00:00 +0100] "GET / HTTP/1.1" 200 1 "-" "-"`:                             at,
		`203.0.113.5 - [22/Nov/2036:10:00:00 +0000] [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 401 1 "-" "-"`:  at,
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /[22/Nov/2036:10:00:00 +0000] HTTP/1.1" 404 1 "-" "-"`: at,
		"2026/11/22 10:00:00 [error] 12#12: *1 open() failed":                                                     at,
		"[2026-11-22 10:00:00] message": at,
		"Nov 22 10:00:00 message":       at,
		`{"remote":"203.0.113.5","time":"2026-11-22T10:00:00Z","agent":"\"time\":\"2036-01-01T00:00:00Z\""}`: at,
		`{"ts":1795341600.5,"status":401}`:        at.Add(500 * time.Millisecond),
		"Invalid user x from 203.0.113.5 port 22": {},
		"":         {},
		`] "`:      {},
		`[] "`:     {},
		`{"time`:   {},
		`{"time":`: {},
	} {
		got, _ := When([]byte(message)).Time(time.UTC, latest)
		if !got.Equal(want) {
			t.Errorf("%s is of %v, want %v", message, got, want)
		}
	}
}

// Whatever the bytes are, there is an answer.
func FuzzWhen(f *testing.F) {
	f.Add([]byte(`203.0.113.5 - - [22/Nov/2026:11:00:00 +0100] "GET`))
	f.Add([]byte(`{"ts":1`))
	f.Fuzz(func(_ *testing.T, message []byte) { When(message) })
}
