package journal

import (
	"bytes"
	"hash/fnv"
	"path"
	"strings"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// Docker's log driver "journald" (moby/moby, daemon/logger/journald) and Podman's (containers/conmon, src/ctr_logging.c) make an
// entry of each line that a container writes to its standard output or error. The identifier is the container's tag, else with
// Docker the beginning of its ID and with Podman its name; none of these is by the kernel's word, and any client can send fields
// of such names. But whoever sends them as one of the two programs with the rights of root is the engine, or is root.

// ofEngine reports whether an entry is a line that a container wrote, by the word of the engine that runs it.
func ofEngine(p *parser, e *entry) bool {
	if string(p.value(e, Transport)) != "journal" || string(p.value(e, UID)) != "0" || len(p.value(e, ContainerID)) == 0 {
		return false
	}
	exe := p.value(e, Exe)
	return IsEngine(exe[bytes.LastIndexByte(exe, '/')+1:])
}

// IsEngine reports whether a program writes the output of containers to the journal.
func IsEngine(program []byte) bool {
	return string(program) == "dockerd" || string(program) == "conmon"
}

// namesContainer reports whether the configuration names the container of an entry.
func (c *Config) namesContainer(name []byte) bool {
	for _, pattern := range c.Containers {
		if found, _ := path.Match(pattern, string(name)); found { // Check has seen that it is a pattern
			return true
		}
	}
	return false
}

// isContainer reports whether a configured name is one that a container can have, or a pattern for some.
func isContainer(name string) bool {
	const most = 255
	return name != "" && len(name) <= most && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && !strings.ContainsRune("_.-*?", r)
	})
}

// containerStream returns a hash of which container an entry is of, and which of its two outputs.
func containerStream(p *parser, e *entry) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte("container ")) // never fails
	_, _ = hash.Write(p.value(e, ContainerID))
	_, _ = hash.Write(p.value(e, Priority))
	return max(hash.Sum64(), anyStream+1)
}

// serviceIn returns the service in a container's name that docker compose has made of project, service and number, "shop-nginx-1" or
// "shop_nginx_1"; else the name.
func serviceIn(name []byte) []byte {
	for _, between := range []string{"-", "_"} {
		if parts := bytes.Split(name, []byte(between)); len(parts) == 3 && len(parts[1]) > 0 && isPID(parts[2]) {
			return parts[1]
		}
	}
	return name
}

// contained makes a record of a line of a container. Its process is one that nobody here knows, and the program is the container's
// tag, else its name, or the service in that. Where no rule knows that one, as with a container of several programs that log through a syslog of its own,
// a header in the line says which it is. It is not looked for otherwise: a web server's line is never another program's, whatever
// its client had written into it.
func (r *Receiver) contained(record *receiver.Record, p *parser, e *entry, received time.Time) {
	record.PID, record.Framing = nil, receiver.OutLine
	record.Message = wire.Trim(record.Message)
	if name := p.value(e, ContainerName); len(name) > 0 && (len(record.Program) == 0 || bytes.HasPrefix(p.value(e, ContainerID), record.Program)) {
		record.Program = serviceIn(name)
	}
	if r.config.Known != nil && r.config.Known(record.Program) {
		return
	}
	inner := *record
	if r.headers.Parse(record.Message, received, &inner) == wire.None || len(inner.Program) == 0 {
		return
	}
	record.Program, record.PID, record.Message, record.Trust = inner.Program, inner.PID, inner.Message, inner.Trust
	if len(inner.PID) == 0 || isLevel(inner.Host) { // an application's own form of a line: what follows may be a peer's
		record.Trust = min(record.Trust, event.TrustCount)
	}
}

// isLevel reports whether a word is how grave applications say that a line is, which is no host.
func isLevel(word []byte) bool {
	switch strings.ToLower(strings.Trim(string(word), "[]<>():")) {
	case "trace", "debug", "info", "information", "notice", "warn", "warning", "error", "err", "crit", "critical", "alert", "fatal", "emerg", "panic", "severe":
		return true
	default:
		return false
	}
}
