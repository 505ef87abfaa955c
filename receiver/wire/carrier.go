package wire

import (
	"bytes"
	"time"

	"tattled/event"
	"tattled/receiver"
)

// carrying says what a tag tells of the messages behind it.
type carrying uint8

const (
	noCarrier carrying = iota
	// ownWords is a tag that the sender's own syslogd puts before the tags of its programs: no program behind it chooses it, and
	// what follows is the tag that it would otherwise stand for.
	ownWords
	// anybodys is a tag behind which stands what any program in a container has written, or any in the kernel's buffer. A
	// container's programs are not the host's, so their words lead to no report.
	anybodys
	// parted is a name with something behind it that may be no part of the program's.
	parted
	// untagged is no tag at all.
	untagged
)

// carrier tells what a program's messages are.
func carrier(program []byte) carrying {
	switch {
	case len(program) == 0:
		return untagged
	case runtimes(program):
		return anybodys
	case facilityName(program) || unifi(program):
		return ownWords
	case bytes.IndexByte(program, '/') > 0 || program[len(program)-1] == ')' && bytes.Contains(program, []byte("(pam_")):
		return parted
	default:
		return noCarrier
	}
}

// runtimes reports whether a tag is of what runs containers, or of the kernel, into whose log root can write.
func runtimes(program []byte) bool {
	switch program[0] {
	case 'd', 'p', 'c', 'k', 'l':
	default:
		return false
	}
	name, _, _ := bytes.Cut(program, []byte("/"))
	switch string(name) {
	case "docker", "dockerd", "podman", "conmon", "container", "containerd", "libpod", "kernel":
		return true
	default:
		return bytes.HasPrefix(name, []byte("k8s_"))
	}
}

// unifi reports whether a tag is what UniFi devices put before the one of their programs: "788a20aabbcc,U7-Pro-8.6.11+18870" and
// "U7PG2,788a20aabbcc,v4.3.13".
func unifi(tag []byte) bool {
	first, rest, found := bytes.Cut(tag, []byte(","))
	if !found {
		return false
	}
	second, _, more := bytes.Cut(rest, []byte(","))
	return macAddress(first) && bytes.IndexByte(rest, '-') > 0 || more && macAddress(second)
}

// macAddress reports whether s is twelve hexadecimal digits.
func macAddress(s []byte) bool {
	for _, c := range s {
		if !digit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return len(s) == 12
}

// carried takes off the tag of a carrier, or what stands behind the name in a tag.
func (p *Peeler) carried(r *receiver.Record, received time.Time) Layer {
	kind := carrier(r.Program)
	inner := *r
	switch {
	case kind == parted:
		return p.instance(r)
	case kind == noCarrier:
		return NoLayer
	case p.tagged(r.Message, received, &inner):
	default:
		return NoLayer
	}
	if kind == anybodys {
		r.Trust = min(r.Trust, event.TrustCount)
	}
	r.Program, r.PID, r.Message = inner.Program, inner.PID, inner.Message
	return Carried
}

// tagged reads a tag at the front of a message, behind a timestamp or not.
func (p *Peeler) tagged(m []byte, received time.Time, inner *receiver.Record) bool {
	word, _, _ := bytes.Cut(m, []byte(" "))
	if tagWord(word) {
		inner.Program = nil
		tag(m, inner)
		return isTag(inner.Program)
	}
	return p.parser.Parse(m, received, inner) != None && isTag(inner.Program)
}

// instance takes the instance off a tag like "httpd/backend1", and the module of PAM off one like "sshd(pam_unix)". Who can
// write either can write the name alone.
func (p *Peeler) instance(r *receiver.Record) Layer {
	if name, module, found := bytes.Cut(r.Program, []byte("(pam_")); found && isTag(name) {
		if module, found = bytes.CutSuffix(module, []byte(")")); found && plainWord(module) {
			r.Program = name
			if bytes.HasPrefix(r.Message, []byte("pam_")) {
				return Instance
			}
			return p.spell(r, module, r.Message)
		}
	}
	name, _, found := bytes.Cut(r.Program, []byte("/"))
	if !found || !isTag(name) {
		return NoLayer
	}
	r.Program, r.Framing = name, receiver.OutLine // Docker's syslog driver writes "image/ID" before what a container prints
	return Instance
}
