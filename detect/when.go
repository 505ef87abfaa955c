package detect

import (
	"bytes"

	"tattled/detect/stamp"
)

// When returns the time that a message itself tells of, where no header does and no rule need match: at its front, before a quoted
// request as in access logs, or in an object of JSON. It is for the order of old logs, and no more than a hint: what an event is dated
// by is Finding.Stamp, which a rule has read. The zero Stamp says that there is none.
func When(message []byte) Stamp {
	var s Stamp
	if len(message) == 0 {
		return s
	}
	if message[0] == '{' {
		return whenJSON(message)
	}
	if s.Take(message) > 0 {
		return s
	}
	const longest = len("[22/Nov/2026:10:00:00.123456 +0000")
	end := bytes.Index(message, []byte(`] "`)) // no field before it can have a bare quote
	if end < 0 {
		return s
	}
	from := bytes.LastIndexByte(message[max(0, end-longest):end], '[')
	if from < 0 {
		return s
	}
	moment := message[max(0, end-longest)+from+1 : end]
	found, n := stamp.ReadDayFirst(moment)
	if n == 0 {
		return stamp.Parse(moment)
	}
	found.Zone(moment[n:], true)
	return found
}

// whenJSON looks for the names by which servers' logs of JSON have their time. A text that a peer chose has its quotes escaped there,
// so that it holds none of these.
func whenJSON(message []byte) Stamp {
	for _, key := range [...]string{`"time":`, `"ts":`, `"timestamp":`, `"@timestamp":`, `"time_iso8601":`, `"time_local":`, `"StartUTC":`, `"datetime":`, `"date":`} {
		at := bytes.Index(message, []byte(key))
		if at < 0 {
			continue
		}
		value := bytes.TrimLeft(message[at+len(key):], " ")
		if len(value) > 0 && value[0] == '"' {
			value = value[1:]
		}
		if end := bytes.IndexAny(value, `",}`); end >= 0 {
			if s := stamp.Parse(value[:end]); !s.IsZero() {
				return s
			}
		}
	}
	return Stamp{}
}
