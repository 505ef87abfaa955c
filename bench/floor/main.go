// Command floor is the least work that could be called detection, as fast as Go does it: what tattled is measured against.
// It is not a model for a product, because it knows only the lines of gen and believes every byte of them.
//
//	floor [-mode match|claim|regexp] FILE
//
//	match    split into lines, look at the program, match by hand, parse the address
//	claim    match, and count each address in a map: what remembering it costs in memory
//	regexp   split, look at the program, then one alternation of package regexp
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"unsafe"
)

func main() {
	mode := flag.String("mode", "claim", "match, claim or regexp")
	flag.Parse()
	find := byHand
	if *mode == "regexp" {
		find = byRegexp
	}
	if err := count(flag.Arg(0), find, *mode == "claim"); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// count reads the log at path and prints how many of its lines tell of an attacker.
func count(path string, find func(program, text, line []byte) []byte, claim bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines, matched, addresses := 0, 0, map[netip.Addr]int{}
	for r := bufio.NewReaderSize(f, 256<<10); ; lines++ {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		line = line[:len(line)-1]
		program, text := split(line)
		if program == nil {
			continue
		}
		found := find(program, text, line)
		if found == nil {
			continue
		}
		addr, err := netip.ParseAddr(lend(found))
		if err != nil {
			continue
		}
		matched++
		if claim {
			addresses[addr]++
		}
	}
	_, err = fmt.Printf("lines=%d matched=%d addresses=%d\n", lines, matched, len(addresses))
	return err
}

// lend makes a string of b without a copy: it must not outlive b.
func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// split takes "Nov 21 03:04:05 host program[pid]: text" apart; program is nil unless it is one of the two that matter.
func split(line []byte) (program, text []byte) {
	const stamp = len("Nov 21 03:04:05 ")
	if len(line) < stamp {
		return nil, nil
	}
	rest := line[stamp:]
	rest = rest[bytes.IndexByte(rest, ' ')+1:]
	i := bytes.IndexByte(rest, ':')
	if i < 0 || i+2 > len(rest) {
		return nil, nil
	}
	if program = rest[:i]; !bytes.HasPrefix(program, []byte("sshd[")) && lend(program) != "kernel" {
		return nil, nil
	}
	return program, rest[i+2:]
}

// byHand returns the attacker's address, nil if there is none.
func byHand(program, text, _ []byte) []byte {
	if program[0] == 'k' {
		return packet(text)
	}
	if len(text) < 20 {
		return nil
	}
	switch text[0] {
	case 'F', 'I':
		if bytes.HasPrefix(text, []byte("Failed ")) || bytes.HasPrefix(text, []byte("Invalid user ")) {
			return word(text, bytes.LastIndex(text, []byte(" from ")), len(" from "))
		}
	case 'C':
		if rest, found := bytes.CutPrefix(text, []byte("Connection closed by ")); found {
			return afterUser(rest)
		}
	case 'D':
		if rest, found := bytes.CutPrefix(text, []byte("Disconnected from ")); found {
			return afterUser(rest)
		}
	case 'R':
		if rest, found := bytes.CutPrefix(text, []byte("Received disconnect from ")); found {
			return word(rest, 0, 0)
		}
	case 'p':
		if bytes.HasPrefix(text, []byte("pam_unix(sshd:auth): authentication failure;")) {
			return word(text, bytes.Index(text, []byte(" rhost=")), len(" rhost="))
		}
	}
	return nil
}

// afterUser returns the word behind "invalid user NAME " or "authenticating user NAME ".
func afterUser(text []byte) []byte {
	name, found := bytes.CutPrefix(text, []byte("invalid user "))
	if !found {
		if name, found = bytes.CutPrefix(text, []byte("authenticating user ")); !found {
			return nil
		}
	}
	return word(name, bytes.IndexByte(name, ' '), 1)
}

func packet(text []byte) []byte {
	if text[0] == '[' {
		end := bytes.IndexByte(text, ']')
		if end < 0 || end+2 > len(text) {
			return nil
		}
		text = text[end+2:]
	}
	if !bytes.HasPrefix(text, []byte("[UFW BLOCK] ")) && !bytes.HasPrefix(text, []byte("nft-drop: ")) &&
		!bytes.HasPrefix(text, []byte("iptables denied: ")) {
		return nil
	}
	return word(text, bytes.Index(text, []byte(" SRC=")), len(" SRC="))
}

// word returns the word that begins skip bytes behind i, nil if i is negative.
func word(b []byte, i, skip int) []byte {
	if i < 0 {
		return nil
	}
	b = b[i+skip:]
	if end := bytes.IndexByte(b, ' '); end >= 0 {
		return b[:end]
	}
	return b
}

var attack = regexp.MustCompile(`sshd\[[0-9]+\]: (?:Failed [a-z]+ for (?:invalid user )?[^ ]* from |Invalid user [^ ]* from |` +
	`(?:Connection closed by|Disconnected from) (?:authenticating|invalid) user [^ ]+ |Received disconnect from |` +
	`pam_unix\(sshd:auth\): authentication failure;.* rhost=)([0-9a-f.:]+)|` +
	`kernel: \[ *[0-9.]+\] (?:\[UFW BLOCK\]|nft-drop:|iptables denied:) IN=[^ ]* OUT=[^ ]* .*SRC=([0-9a-f.:]+) DST=`)

func byRegexp(_, _, line []byte) []byte {
	m := attack.FindSubmatch(line)
	if m == nil {
		return nil
	}
	if m[1] != nil {
		return m[1]
	}
	return m[2]
}
