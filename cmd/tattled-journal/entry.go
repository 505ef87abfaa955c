//go:build cgo

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/sdjournal"

	"tattled/receiver/journal"
)

// errBroken is the error of an entry that is there but cannot be read: the journal stands on it, and what is next may be well.
var errBroken = errors.New("an entry is damaged")

// maxIdentifier is how much of an identifier is written, in bytes.
const maxIdentifier = 256

// entries reads the entries of a journal. Each field that is asked for costs 1 to 2 us, as much as it takes to find an
// entry: libsystemd looks through the whole entry every time. So only those are asked for that something can follow from.
type entries struct {
	journal *sdjournal.Journal
}

// newEntries reads the entries of j, with a little more of a compressed message than is written.
func newEntries(j *sdjournal.Journal) (*entries, error) {
	return &entries{j}, j.SetDataThreshold(2 * journal.MaxMessage)
}

// content is what could be read of an entry.
type content uint8

const (
	whole  content = iota
	partly         // it lacks a field that most entries have
	silent         // it has no message
)

// next goes to the next entry and appends it to out, in export format without the empty line at its end. It reports
// whether there was one.
func (e *entries) next(out []byte) (_ []byte, found bool, has content, err error) {
	n, err := e.journal.Next()
	if err != nil || n == 0 {
		return out, false, silent, err
	}
	out, has, err = e.current(out)
	return out, err == nil, has, err
}

// current appends the entry on which the journal stands. What may lead to a report has something in it that could be an
// address; of what has not, no rule can say anything but that it knows the program, so only message, identifier, time and
// stream are written. A field that cannot be read counts as one that the entry does not have, and what has not all that it takes
// to be trusted is not.
func (e *entries) current(out []byte) (_ []byte, has content, err error) {
	usec, err := e.journal.GetRealtimeUsec()
	if err != nil {
		return out, silent, errBroken
	}
	out = fmt.Appendf(out, "%s=", journal.EntryTime)
	out = append(strconv.AppendUint(out, usec, 10), '\n')
	text := e.get(journal.Message)
	if text != nil {
		out = appendField(out, journal.Message, text[:min(len(text), journal.MaxMessage+1)]) // one more tells that it was cut
	}
	name := e.get(journal.Identifier)
	named := name != nil
	if len(name) > 0 {
		out = appendField(out, journal.Identifier, name[:min(len(name), maxIdentifier)])
	} else {
		name, out = e.copy(out, journal.Comm)
	}
	known, broken := true, false
	matters := mayMatter(text)
	if !matters { // a field that is there is found sooner than one that is not
		switch string(e.get(journal.Transport)) {
		case "stdout":
			broken, out = e.stream(out)
		case "journal": // a container's line may be only a part of one
			broken = journal.IsRuntime(e.get(journal.Comm))
		}
	}
	switch {
	case matters || broken: // whether the next entry of the stream may be believed depends on where a broken one is from
		out, known = e.origin(out, matters)
	case bytes.HasPrefix(name, []byte(journal.OwnName)): // perhaps our own
		_, out = e.copy(out, journal.SystemdUnit)
		_, out = e.copy(out, journal.PID)
		_, out = e.copy(out, journal.Comm)
	case string(name) == "systemd-journald": // perhaps it tells of entries that it lost
		_, out = e.copy(out, journal.Transport)
	}
	switch {
	case text == nil:
		return out, silent, nil
	case !named || !known:
		return out, partly, nil
	}
	return out, whole, nil
}

// stream appends which standard output or error an entry was written to, and why it ends there if that is not the end of a
// line. It reports whether it is not. Entries that came another way have neither.
func (e *entries) stream(out []byte) (broken bool, _ []byte) {
	id, out := e.copy(out, journal.StreamID)
	if id == nil {
		return false, out
	}
	why, out := e.copy(out, journal.LineBreak)
	return why != nil, out
}

// origin appends where an entry is from: as much as it takes to judge it, and to know our own; its stream too, if asked
// for. It reports whether all that it takes to trust an entry is there.
func (e *entries) origin(out []byte, stream bool) (_ []byte, known bool) {
	transport, out := e.copy(out, journal.Transport)
	_, out = e.copy(out, journal.Hostname)
	switch {
	case string(transport) == "kernel":
		return out, true
	case stream && string(transport) == "stdout":
		_, out = e.stream(out)
	}
	unit, out := e.copy(out, journal.SystemdUnit)
	comm, out := e.copy(out, journal.Comm)
	if journal.IsRuntime(comm) {
		for _, f := range journal.ContainerFields() {
			_, out = e.copy(out, f)
		}
	}
	pid, out := e.copy(out, journal.SyslogPID)
	_, err := strconv.ParseUint(string(pid), 10, 32)
	if err != nil || bytes.HasPrefix(comm, []byte(journal.OwnName)) {
		pid, out = e.copy(out, journal.PID)
	}
	_, out = e.copy(out, journal.SourceTime)
	uid, out := e.copy(out, journal.UID)
	known = transport != nil && unit != nil && uid != nil && pid != nil
	if string(uid) == "0" {
		var exe []byte
		exe, out = e.copy(out, journal.Exe)
		known = known && exe != nil
	}
	return out, known
}

// copy appends a field, if the entry has it, and returns its value.
func (e *entries) copy(out []byte, f journal.Field) (value, _ []byte) {
	const most = 4 << 10 // it is dropped where it is longer: half of one must not be taken for the whole
	value = e.get(f)
	if value == nil || len(value) > most {
		return nil, out
	}
	return value, appendField(out, f, value)
}

// get returns the value of a field, nil if the entry does not have it.
func (e *entries) get(f journal.Field) []byte {
	name := f.String()
	data, err := e.journal.GetDataBytes(name)
	if err != nil || len(data) <= len(name) {
		return nil
	}
	return data[len(name)+1:]
}

// appendField appends a field in export format: as text if it is that, else with its length.
func appendField(out []byte, f journal.Field, value []byte) []byte {
	out = append(out, f.String()...)
	if bytes.IndexByte(value, '\n') < 0 && utf8.Valid(value) {
		out = append(out, '=')
	} else {
		out = append(out, '\n')
		out = binary.LittleEndian.AppendUint64(out, uint64(len(value)))
	}
	out = append(out, value...)
	return append(out, '\n')
}

// mayMatter reports whether an address may be somewhere in a message, in any form that netip.ParseAddr reads: IPv4 has three
// dots between digits, IPv6 has two colons with at most four hexadecimal digits between them.
func mayMatter(message []byte) bool {
	return manyDots(message) || closeColons(message)
}

func manyDots(message []byte) bool {
	for dots, at := 0, 0; ; {
		i := bytes.IndexByte(message[at:], '.')
		if i < 0 {
			return false
		}
		at += i + 1
		if at >= 2 && at < len(message) && isDigit(message[at-2]) && isDigit(message[at]) {
			if dots++; dots == 3 {
				return true
			}
		}
	}
}

func closeColons(message []byte) bool {
	const most = 4 // digits of a group
	at := bytes.IndexByte(message, ':') + 1
	if at == 0 {
		return false
	}
	for {
		i := bytes.IndexByte(message[at:], ':')
		if i < 0 {
			return false
		}
		if i <= most && !bytes.ContainsFunc(message[at:at+i], func(r rune) bool { return !isHex(r) }) {
			return true
		}
		at += i + 1
	}
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isHex(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F'
}
