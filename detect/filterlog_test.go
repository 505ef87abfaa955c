package detect

import (
	"net/netip"
	"strings"
	"testing"

	"tattled/detect/packet"
)

// FuzzFilterlog feeds packets with any protocol part, which a peer shapes: the peer is always the source column.
func FuzzFilterlog(f *testing.F) {
	r := load(f, Options{})
	f.Add("0x0", "none", "40022,23,0,S,1,,1024,,")
	f.Add("0x0", "DF", "errormsg='tcp 198.51.100.66,198.51.100.66,1,2,S")
	f.Add("error='truncated-ip 20 bytes missing!',0x0", "none", "1,2,3")
	f.Fuzz(func(t *testing.T, tos, flags, rest string) {
		var found Finding
		message := "5,,,1000000103,em0,match,block,in,4," + tos + ",,244,54321,0," + flags + ",6,tcp,40,203.0.113.5,192.0.2.10," + rest
		v := r.Detect([]byte("filterlog"), []byte(message), &found)
		if strings.Contains(tos+flags, ",") {
			return // columns that filterlog does not write: anything but a panic
		}
		if v != Matched || found.Addr != netip.MustParseAddr(truePeer) {
			t.Fatalf("%q is %s", message, describe(v, &found))
		}
	})
}

// TestPacketSamplesDoNotAllocate says that the parsers of packet filters allocate nothing for the lines of the rule files.
func TestPacketSamplesDoNotAllocate(t *testing.T) {
	r := load(t, Options{})
	tried := 0
	for rule, samples := range samplesOf(t, r) {
		if _, ok := rule.Service.parser.(*packet.Parser); !ok {
			continue
		}
		program := []byte(rule.Service.Programs[0])
		for _, s := range samples {
			tried++
			line := []byte(s.Form.Line.Value)
			var f Finding
			if n := testing.AllocsPerRun(3, func() { r.Detect(program, line, &f) }); n != 0 {
				t.Errorf("%s:%d: %v allocations", rule.Service.File, s.line, n)
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d samples were tried", tried)
	}
}
