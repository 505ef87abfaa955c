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

// appendOldCounts writes c as releases of schema 1 did.
func appendOldCounts(b []byte, c *counts) []byte {
	b = append(b, countsRecords)
	for _, n := range []uint64{c.commit, c.lastSeq, c.itemSeq, c.addresses, uint64(c.clock)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, t := range counted() {
		b = binary.AppendUvarint(b, c.records[t])
	}
	b = append(b, c.sweepCursor[:]...)
	b = append(b, c.scoreHand[:]...)
	return binary.AppendUvarint(b, 0)
}
