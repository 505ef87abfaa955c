package detect

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzMikrotik feeds packets with any interface, which a peer of a tunnel may have named, and any prefix: the peer is
// always the source behind the protocol.
func FuzzMikrotik(f *testing.F) {
	r := load(f, Options{})
	f.Add("DROP ", "ether1", " (SYN), ")
	f.Add("firewall,info DROP ", "<pppoe-x out:(unknown 0), proto TCP (SYN), 198.51.100.66:1->192.0.2.10:22, len 40>", ", ")
	f.Add("", "x input: in:y", " (type 8, code 0), ")
	f.Fuzz(func(t *testing.T, prefix, name, detail string) {
		var found Finding
		message := []byte(prefix + "input: in:" + name + " out:(unknown 0), connection-state:new proto TCP" + detail +
			"203.0.113.5:40022->192.0.2.10:22, len 40")
		v := r.Detect([]byte("mikrotik"), message, &found)
		if strings.Contains(prefix, ": in:") || strings.Contains(detail, "out:(") || strings.Contains(detail, "->") {
			return // what RouterOS and the operator write, not a peer: anything but a panic
		}
		if v == Matched && found.Addr != netip.MustParseAddr(truePeer) {
			t.Fatalf("%q blames %v", message, found.Addr)
		}
	})
}

// TestParserBesidePatterns says that a line is refused which a parser and a pattern read differently, whichever comes first.
func TestParserBesidePatterns(t *testing.T) {
	const packets = `service: packets
programs: [notes, sshd]
parser: mikrotik
rules:
  - {name: block, kind: firewall-block, categories: [14], samples: [{line: "DROP input: in:x out:(unknown 0), proto 47, 203.0.113.5->192.0.2.10, len 40", ip: 203.0.113.5}]}
  - {name: accept, kind: firewall-accept, samples: [{line: "ACCEPT input: in:x out:(unknown 0), proto 47, 203.0.113.5->192.0.2.10, len 40", ip: 203.0.113.5}]}
`
	const notes = `service: zz-notes
programs: [notes]
rules:
  - {name: note, kind: probe, categories: [14], match: ["note of <ip>: <any>"], samples: [{line: "note of 203.0.113.5: hello", ip: 203.0.113.5}]}
`
	dir := userRules(t, "packets.yaml", packets)
	if err := os.WriteFile(filepath.Join(dir, "zz-notes.yaml"), []byte(notes), 0o600); err != nil {
		t.Fatal(err)
	}
	r := load(t, Options{Directory: dir})
	const planted = "DROP input: in:x out:(unknown 0), proto 47, 198.51.100.66->192.0.2.10, len 40"
	var f Finding
	for program, message := range map[string]string{
		"sshd":  "Unable to negotiate with 203.0.113.5 port 4: no matching cipher found. Their offer: " + planted,
		"notes": "note of 203.0.113.5: " + planted,
	} {
		if v := r.Detect([]byte(program), []byte(message), &f); v != Refused || f.Refusal != Ambiguous {
			t.Errorf("%s is %s", message, describe(v, &f))
		}
	}
}
