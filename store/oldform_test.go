package store

import (
	"encoding/binary"

	"tattled/event"
)

// appendEvent writes e as releases of schema 1 did, one in a record.
func appendEvent(b []byte, e *event.Event) []byte {
	b = append(b, eventForm)
	b = appendTime(b, e.Time)
	b = appendTime(b, e.Received)
	b = append(b, byte(e.Kind), byte(e.Proto), byte(e.Trust), flagsOf(e))
	b = appendAddr(b, e.Addr)
	b = binary.BigEndian.AppendUint16(b, e.Port)
	b = binary.BigEndian.AppendUint16(b, e.LocalPort)
	b = appendCategories(b, e.Categories)
	for _, s := range []string{e.Service, e.Rule, e.User, e.Program, e.PID, e.Host, e.Source, e.Reporter} {
		b = appendText(b, s, maxText)
	}
	b = appendPlace(b, &e.Place)
	return appendText(b, e.Line, event.MaxLine)
}
