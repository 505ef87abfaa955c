package detect

import (
	"encoding/binary"
	"slices"
	"strings"

	"tattled/detect/parse"
)

// programs finds what is to be done with a program's messages. It is asked for every record, most of which are of
// programs that nobody knows: a table that is small and mostly empty tells of them.
type programs struct {
	table []*program      // a program stands at its hash, or behind that
	wild  [256][]*program // of all, by the first byte, those whose names stand for many; the longest first
}

type program struct {
	ends    ends
	name    string   // may have a wildcard
	front   string   // of a name with a wildcard, what is before it
	back    string   // and what is after it
	service *Service // the first that knows the program
	matcher *matcher
	access  bool // one of its services reads access logs
}

// ends has the first and the last eight bytes of a name as numbers, twice the same of one that is no longer, with zeros
// where it is shorter: to compare them is to compare names of up to 16 bytes of one length.
type ends struct{ front, back uint64 }

// endsOf reads eight bytes at once where name's memory goes on, which it does in a record, and forgets what is behind name.
func endsOf(name []byte) ends {
	if cap(name) < 8 {
		var room [8]byte
		copy(room[:], name)
		name = room[:len(name)]
	}
	n := len(name)
	unused := uint(8-min(n, 8)) * 8 & 63
	back := max(n-8, 0)
	return ends{
		front: binary.LittleEndian.Uint64(name[:8]) << unused >> unused,
		back:  binary.LittleEndian.Uint64(name[back:back+8]) << unused >> unused,
	}
}

// hash is where the search for a name begins, before it is bounded to the table.
func (e ends) hash() int { return int((e.front*3 ^ e.back) * 0x9e3779b97f4a7c15 >> 40) }

func newPrograms(all []program) programs {
	size := 64
	for size < 8*len(all) {
		size *= 2
	}
	p := programs{table: make([]*program, size)}
	for i := range all {
		name := []byte(all[i].name)
		all[i].ends = endsOf(name)
		h := all[i].ends.hash() & (size - 1)
		for p.table[h] != nil {
			h = (h + 1) & (size - 1)
		}
		p.table[h] = &all[i]
		if front, back, has := strings.Cut(all[i].name, string(wildcard)); has {
			all[i].front, all[i].back = front, back
			p.wild[name[0]] = append(p.wild[name[0]], &all[i])
		}
	}
	for _, wild := range p.wild {
		slices.SortStableFunc(wild, func(a, b *program) int { return len(b.name) - len(a.name) })
	}
	return p
}

// find returns what is to be done with a program's messages, nil if nobody knows it.
func (p *programs) find(name []byte) *program {
	one, _ := p.seek(name)
	return one
}

// seek is find, and tells about a name that nobody knows whether it is compound.
func (p *programs) seek(name []byte) (_ *program, compound bool) {
	if len(name) == 0 {
		return nil, true
	}
	e, table := endsOf(name), p.table
	for h := e.hash(); ; h++ {
		one := table[h&(len(table)-1)]
		if one == nil {
			break
		}
		if one.ends == e && len(one.name) == len(name) && (len(name) <= 16 || one.name == string(name)) {
			return one, false
		}
	}
	for _, one := range p.wild[name[0]] {
		if one.fits(name) {
			return one, false
		}
	}
	return nil, e.compound(len(name))
}

// compound reports whether a name that nobody knows has more than 16 bytes, or one from "(" to "/" in its first or last eight: it may be
// made of another name, or stand for others. n is its length, at least 1.
func (e ends) compound(n int) bool {
	const each, high, bracketToSlash = 0x0101010101010101, 0x8080808080808080, '('
	w := e.front&(0xf8*each) ^ bracketToSlash*each
	found := (w - each) &^ w & high
	if n > 8 {
		if n > 16 {
			return true
		}
		w = e.back&(0xf8*each) ^ bracketToSlash*each
		found |= (w - each) &^ w & high
	}
	return found != 0
}

// Knows reports whether a service reads the messages of a program.
func (r *Rules) Knows(program string) bool { return r.programs.find([]byte(program)) != nil }

// ReadsAccess reports whether rules read a program's messages as lines of an access log, so that the form of the log may be
// declared.
func (r *Rules) ReadsAccess(program string) bool {
	p := r.programs.find([]byte(program))
	return p != nil && p.access
}

// wildcard stands for any bytes, also none, in the name of a program as a rule file has it, once and not at its front.
const wildcard = '*'

// fits reports whether a name is one that the program's name with a wildcard stands for.
func (p *program) fits(name []byte) bool {
	return len(name) >= len(p.front)+len(p.back) && parse.HasPrefix(name, p.front) && parse.HasSuffix(name, p.back)
}

// fits reports whether a name is one that pattern stands for: itself, or any with other bytes in its wildcard's place.
func fits(pattern string, name []byte) bool {
	i := strings.IndexByte(pattern, wildcard)
	if i < 0 {
		return string(name) == pattern
	}
	front, back := pattern[:i], pattern[i+1:]
	return len(name) >= len(front)+len(back) && parse.HasPrefix(name, front) && parse.HasSuffix(name, back)
}

// knows reports whether the service knows every program that a name stands for.
func (s *Service) knows(name string) bool {
	return slices.ContainsFunc(s.Programs, func(p string) bool { return fits(p, []byte(name)) })
}

// Shared returns the names of programs that both services know.
func (s *Service) Shared(other *Service) []string {
	var all []string
	for _, name := range slices.Concat(s.Programs, other.Programs) {
		if s.knows(name) && other.knows(name) && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// shares reports whether both services know some program.
func (s *Service) shares(other *Service) bool { return len(s.Shared(other)) > 0 }
