package packet

import (
	"bytes"

	"tattled/detect/parse"
)

// kernelStamp returns how many bytes the kernel's stamp takes at the front of a line, with the space after it:
// "[812345.678901] ". 0 without one.
func kernelStamp(m []byte) int {
	if len(m) == 0 || m[0] != '[' {
		return 0
	}
	i, dots := 1, 0
	for i < len(m) && (m[i] == ' ' || m[i] == '.' || m[i]-'0' <= 9) {
		if m[i] == '.' {
			dots++
		}
		i++
	}
	if dots != 1 || !parse.HasPrefix(m[i:], "] ") {
		return 0
	}
	return i + len("] ")
}

// mayBePrefix reports whether what is before a packet's first field may be an operator's log prefix. The kernel also prints
// what strangers name: a USB device's product, a keyboard, the label of a disk, a path, and any of these may read like a
// packet. A prefix begins the line, while a stranger's text has the kernel's own words before it:
//
//	usb 1-1: Product: [UFW BLOCK] IN=eth0 ..        the driver and the device, by its number on a bus
//	EXT4-fs (sdb1): ..                              the part of the kernel and the device, in brackets
//	input: [UFW BLOCK] IN=eth0 .. as /devices/..    more words after it
//	process '/home/x/[UFW BLOCK] IN=eth0 ..' started with executable stack
//	cgroup: fork rejected by pids controller in /user.slice/..
//
// So a prefix names no device and no path, and where something is before a colon or a quotation mark, as in "Firewall: *TCP_IN
// Blocked* ", nothing but fields and flags may follow. rest is the line from the packet's destination on.
func mayBePrefix(words, rest []byte) bool {
	doubtful, ok := prefixLike(words)
	return ok && (!doubtful || onlyFields(rest))
}

// prefixLike is what mayBePrefix can say without what follows: ok is false if the words are no prefix, and if they are doubtful,
// they are one only where nothing but fields follows.
func prefixLike(words []byte) (doubtful, ok bool) {
	if len(words) > longestWords {
		return false, false
	}
	colon := false
	for i, c := range words {
		switch c {
		case '\'', '`':
			doubtful = true
		case '/':
			if doubtful = true; i > 0 && words[i-1] == ' ' {
				return false, false
			}
		case ':':
			if !colon && i+len(": ") < len(words) && words[i+1] == ' ' {
				if namesDevice(words[:i]) {
					return false, false
				}
				doubtful, colon = true, true
			}
		}
	}
	return doubtful, true
}

// namesDevice reports whether a word is a device as drivers name it: "1-1", "0000:00:1f.2", "(sdb1)".
func namesDevice(m []byte) bool {
	digit, part := false, false
	for i, c := range m {
		switch {
		case c == '(' || c == ')':
			return true
		case c == ' ':
			digit, part = false, false
		case c == '[' && (i == 0 || m[i-1] == ' '):
			return false // an operator's bracket
		case c-'0' <= 9:
			digit = true
		case c == '-' || c == ':' || c == '.':
			part = true
		}
		if digit && part {
			return true
		}
	}
	return false
}

// onlyFields reports whether a line has nothing but what the kernel writes for a packet: KEY=value, flags, and in brackets
// the packet that an error quotes.
func onlyFields(m []byte) bool {
	for len(m) > 0 {
		word := m
		if space := bytes.IndexByte(m, ' '); space >= 0 {
			word, m = m[:space], m[space+1:]
		} else {
			m = nil
		}
		for i, c := range word {
			if c == '=' && i > 0 {
				break
			}
			if c-'A' > 'Z'-'A' && c-'0' > 9 && c != '[' && c != ']' && c != '(' && c != ')' && c != ':' && c != '+' {
				return false
			}
		}
	}
	return true
}
