package web

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// feedFormat is one form of the feed. None of them has any text that a log or a client brought.
type feedFormat struct {
	mime  string
	write func(now time.Time, entries []FeedEntry) []byte
}

const plainText = "text/plain; charset=utf-8"

var feedFormats = map[string]*feedFormat{
	"plain":    {plainText, writePlain},
	"json":     {"application/json", writeFeedJSON},
	"nftables": {plainText, writeNftables},
	"ipset":    {plainText, writeIpset},
	"mikrotik": {plainText, writeMikrotik},
	"pfsense":  {plainText, writePfsense},
}

// left is for how many seconds e stays, at least one.
func (e *FeedEntry) left(now time.Time) int64 {
	return max(int64(e.Until.Sub(now)/time.Second), 1)
}

func (e *FeedEntry) is4() bool { return e.prefix.Addr().Is4() }

// writePlain writes one address or network a line, and nothing else.
func writePlain(_ time.Time, entries []FeedEntry) []byte {
	var b bytes.Buffer
	for i := range entries {
		fmt.Fprintln(&b, entries[i].Network)
	}
	return b.Bytes()
}

func writeFeedJSON(now time.Time, entries []FeedEntry) []byte {
	body, err := encode(FeedAnswer{now, entries})
	if err != nil {
		panic(err) // every time is a plain one
	}
	return body
}

// elementsALine is how many elements a line of a script has.
const elementsALine = 8

// writeNftables writes a script for nft -f, which is one transaction: what was in the sets is replaced, and there is no moment without.
func writeNftables(now time.Time, entries []FeedEntry) []byte {
	var b bytes.Buffer
	b.WriteString("# tattled feed --format nftables\n" +
		"table inet tattled {\n" +
		"\tset blocked4 { type ipv4_addr; flags timeout; }\n" +
		"\tset blocked6 { type ipv6_addr; flags interval, timeout; }\n" +
		"}\n" +
		"flush set inet tattled blocked4\n" +
		"flush set inet tattled blocked6\n")
	for _, family := range []struct {
		set string
		is4 bool
	}{{"blocked4", true}, {"blocked6", false}} {
		var line []string
		end := func() {
			if len(line) > 0 {
				fmt.Fprintf(&b, "add element inet tattled %s { %s }\n", family.set, strings.Join(line, ", "))
			}
			line = line[:0]
		}
		for i := range entries {
			e := &entries[i]
			if e.is4() != family.is4 {
				continue
			}
			if line = append(line, fmt.Sprintf("%s timeout %ds", e.Network, e.left(now))); len(line) == elementsALine {
				end()
			}
		}
		end()
	}
	return b.Bytes()
}

// maxIpsetTimeout is the longest that ipset takes, in seconds.
const maxIpsetTimeout = 2147483

// writeIpset writes what ipset restore reads. The sets are swapped, so that there is no moment without.
func writeIpset(now time.Time, entries []FeedEntry) []byte {
	var b bytes.Buffer
	b.WriteString("# tattled feed --format ipset\n")
	for _, family := range []struct {
		set, kind, inet string
		is4             bool
	}{{"tattled4", "hash:ip", "inet", true}, {"tattled6", "hash:net", "inet6", false}} {
		for _, name := range []string{family.set, family.set + "-new"} {
			fmt.Fprintf(&b, "create %s %s family %s maxelem %d timeout 86400 -exist\n", name, family.kind, family.inet, maxBlocked)
		}
		fmt.Fprintf(&b, "flush %s-new\n", family.set)
		for i := range entries {
			if e := &entries[i]; e.is4() == family.is4 {
				fmt.Fprintf(&b, "add %s-new %s timeout %d -exist\n", family.set, e.Network, min(e.left(now), maxIpsetTimeout))
			}
		}
		fmt.Fprintf(&b, "swap %[1]s-new %[1]s\ndestroy %[1]s-new\n", family.set)
	}
	return b.Bytes()
}

// writeMikrotik writes a script for RouterOS's /import. An entry that is there already is replaced.
func writeMikrotik(now time.Time, entries []FeedEntry) []byte {
	var b bytes.Buffer
	b.WriteString("# tattled feed --format mikrotik\n")
	for _, family := range []struct {
		menu string
		is4  bool
	}{{"/ip firewall address-list", true}, {"/ipv6 firewall address-list", false}} {
		fmt.Fprintf(&b, "%s\nremove [find list=tattled]\n", family.menu)
		for i := range entries {
			if e := &entries[i]; e.is4() == family.is4 {
				fmt.Fprintf(&b, "add list=tattled address=%s timeout=%s\n", e.Network, routerTime(e.left(now)))
			}
		}
	}
	return b.Bytes()
}

// routerTime writes seconds as RouterOS reads them: 1d02:03:04.
func routerTime(n int64) string {
	clock := fmt.Sprintf("%02d:%02d:%02d", n/3600%24, n/60%60, n%60)
	if days := n / 86400; days > 0 {
		return fmt.Sprintf("%dd%s", days, clock)
	}
	return clock
}

// writePfsense writes networks with their masks, as the URL tables of pfSense and OPNsense and the external dynamic lists of others take them.
func writePfsense(_ time.Time, entries []FeedEntry) []byte {
	var b bytes.Buffer
	b.WriteString("# tattled feed --format pfsense\n")
	for i := range entries {
		fmt.Fprintln(&b, entries[i].prefix)
	}
	return b.Bytes()
}
