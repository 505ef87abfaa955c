package syslog

import (
	"bytes"
	"sync/atomic"
	"time"

	"gopkg.in/mcuadros/go-syslog.v2/format"

	"tattled/receiver"
	"tattled/receiver/wire"
)

// fallback asks go-syslog's parsers about records that begin with a <PRI> and whose header ours does not know. That is a
// cold path: they allocate, and they panic on some inputs ("<13>"), which is caught and counted.
type fallback struct {
	asked, known, panicked atomic.Uint64
}

// ask fills record from line if go-syslog's parsers find a program in it, and reports whether they did. It takes nothing
// else for an answer, because without a timestamp that they know, their RFC 3164 parser makes one up. A text of several
// lines is not shown to them: what they find might be a stranger's.
func (o *fallback) ask(line []byte, record *receiver.Record) bool {
	if !wire.HasPriority(line) || bytes.IndexByte(line, '\n') >= 0 {
		return false
	}
	o.asked.Add(1)
	parts := o.parse(line)
	program, host, message, at := "", "", "", time.Time{}
	switch {
	case parts["app_name"] != nil:
		program, _ = parts["app_name"].(string)
		message, _ = parts["message"].(string)
		if t, ok := parts["timestamp"].(time.Time); ok { // of RFC 3164 it has no year, and their rule for that is another
			at = t
		}
	default:
		program, _ = parts["tag"].(string)
		message, _ = parts["content"].(string)
		if !bytes.Contains(line, []byte(program+":")) && !bytes.Contains(line, []byte(program+"[")) {
			return false // it takes any word for a tag, and a guessed program would be judged by that program's rules
		}
	}
	if program == "" || program == "-" {
		return false
	}
	o.known.Add(1)
	record.Program, record.Message = []byte(program), []byte(message)
	if host, _ = parts["hostname"].(string); host != "" && host != "-" {
		record.Host = []byte(host)
	}
	if !at.IsZero() {
		record.Time = at
	}
	return true
}

func (o *fallback) parse(line []byte) (parts format.LogParts) {
	defer func() {
		if recover() != nil {
			o.panicked.Add(1)
			parts = nil
		}
	}()
	// Automatic's parser tells RFC 5424 from RFC 3164. Its split function is the one that must not be used.
	parser := (&format.Automatic{}).GetParser(line)
	if err := parser.Parse(); err != nil {
		return nil
	}
	return parser.Dump()
}
