package wire

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	"tattled/receiver"
)

// wrapped takes off what a container runtime has put around a line of a container's output. The runtime writes it, and no program
// in the container can: it stands in front of each of its lines, and what the line has of it itself is the line's.
//
//	2026-11-02T06:47:42.801612000Z stdout F message      CRI: containerd, CRI-O
//	{"log":"message\n","stream":"stdout","time":"..."}   Docker's json-file
//	mailserver  | message                                docker compose logs
//
// What is inside is a line of a standard output: Framing says so.
func (p *Peeler) wrapped(r *receiver.Record) Layer {
	var layer Layer
	text := r.Message
	p.Stderr = string(r.Host) == "stderr"
	switch {
	case len(text) == 0:
		return NoLayer
	case text[0] == '{':
		text, layer = p.dockers(text)
	case r.Host != nil && (string(r.Host) == "stdout" || string(r.Host) == "stderr"): // CRI that was taken for a header
		text, layer = flagged(text)
	case digit(text[0]):
		text, layer = p.cri(text, r)
	default:
		text, layer = composed(text)
	}
	if layer == NoLayer {
		return layer
	}
	if string(r.Host) == "stdout" || string(r.Host) == "stderr" {
		r.Host = nil
	}
	r.Framing = receiver.OutLine
	r.Message, r.Cut = text, layer == Part
	return layer
}

// cri reads the form of the container runtime interface (k8s.io/kubernetes, pkg/kubelet/kuberuntime/logs/logs.go, parseCRILog).
func (p *Peeler) cri(line []byte, r *receiver.Record) ([]byte, Layer) {
	t, n := p.parser.isoTime(line)
	if n == 0 || n >= len(line) || line[n] != ' ' {
		return nil, NoLayer
	}
	rest := line[n+1:]
	if !bytes.HasPrefix(rest, []byte("stdout ")) && !bytes.HasPrefix(rest, []byte("stderr ")) {
		return nil, NoLayer
	}
	p.Stderr = rest[len("std")] == 'e'
	text, layer := flagged(rest[len("stdout "):])
	if layer != NoLayer && r.Time.IsZero() {
		r.Time = t
	}
	return text, layer
}

// flagged reads what CRI has behind the stream: tags, of which the first says whether the line is whole.
func flagged(rest []byte) ([]byte, Layer) {
	tags, text, found := bytes.Cut(rest, []byte(" "))
	first, _, _ := bytes.Cut(tags, []byte(":"))
	switch {
	case !found:
		return nil, NoLayer
	case string(first) == "F":
		return text, Wrapper
	case string(first) == "P":
		return text, Part
	default:
		return nil, NoLayer
	}
}

// composed reads "name  | message" of docker compose, also with the number of the container in the name.
func composed(line []byte) ([]byte, Layer) {
	const longest = 80
	bar := bytes.IndexByte(line[:min(len(line), longest)], '|')
	if bar < 2 || line[bar-1] != ' ' || bar+1 < len(line) && line[bar+1] != ' ' {
		return nil, NoLayer
	}
	name := bytes.TrimRight(line[:bar], " ")
	if len(name) == 0 || name[0]|0x20 < 'a' || name[0]|0x20 > 'z' {
		return nil, NoLayer
	}
	for _, c := range name {
		if c|0x20 < 'a' && c != '-' && c != '.' && !digit(c) && c != '_' || c|0x20 > 'z' && c != '_' {
			return nil, NoLayer
		}
	}
	return unspace(line[bar+1:]), Wrapper
}

// dockers reads an object of Docker's json-file (moby/moby, daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go, MarshalJSONBuf): the
// members are in that order, and a log without a line end is a part of a line.
func (p *Peeler) dockers(object []byte) ([]byte, Layer) {
	rest, found := bytes.CutPrefix(object, []byte(`{"log":"`))
	if !found {
		return nil, NoLayer
	}
	text, n := unquote(p.room(len(rest)), rest)
	if n == 0 {
		return nil, NoLayer
	}
	rest = rest[n:]
	if !bytes.HasPrefix(rest, []byte(`,"stream":"std`)) && !bytes.HasPrefix(rest, []byte(`,"attrs":{`)) && !bytes.HasPrefix(rest, []byte(`,"time":"`)) || rest[len(rest)-1] != '}' {
		return nil, NoLayer
	}
	p.keep()
	p.Stderr = bytes.Contains(rest, []byte(`"stream":"stderr"`))
	whole, ended := bytes.CutSuffix(text, []byte("\n"))
	if !ended {
		return text, Part
	}
	return bytes.TrimSuffix(whole, []byte("\r")), Wrapper
}

// unquote appends to room what a string of JSON means, which s begins with behind its first quote, and returns how much of s it was:
// 0 if it has no end.
func unquote(room, s []byte) (text []byte, n int) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return room, i + 1
		case '\\':
			if i++; i == len(s) {
				return nil, 0
			}
			if s[i] == 'u' {
				r, m := escaped(s[i+1:])
				if m == 0 {
					return nil, 0
				}
				room, i = utf8.AppendRune(room, r), i+m
				continue
			}
			at := bytes.IndexByte([]byte(`"\/bfnrt`), s[i])
			if at < 0 {
				return nil, 0
			}
			room = append(room, "\"\\/\b\f\n\r\t"[at])
		default:
			room = append(room, c)
		}
	}
	return nil, 0
}

// escaped reads the digits of \u, of a pair where two make one character, and returns how long they are.
func escaped(s []byte) (r rune, n int) {
	r = hexDigits(s)
	if r < 0 {
		return 0, 0
	}
	if utf16.IsSurrogate(r) && len(s) >= 10 && s[4] == '\\' && s[5] == 'u' {
		if low := hexDigits(s[6:]); low >= 0 {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 10
			}
		}
	}
	return r, 4
}

// hexDigits reads four hexadecimal digits, -1 if they are none.
func hexDigits(s []byte) rune {
	if len(s) < 4 {
		return -1
	}
	r := rune(0)
	for _, c := range s[:4] {
		if !hexadecimal(c) {
			return -1
		}
		d := rune(c - '0')
		if d > 9 {
			d = rune(c|0x20-'a') + 10
		}
		r = r<<4 | d
	}
	return r
}
