package attack

import (
	"net/netip"
	"slices"
	"strings"

	"tattled/detect"
	"tattled/detect/packet"
	"tattled/detect/parse"
	"tattled/detect/rulefile"
	"tattled/detect/weblog"
)

// parserTargets are the lines of a rule whose service has a parser.
func parserTargets(rule *detect.Rule, samples []detect.Sample) []target {
	name, parser := rule.Service.Parser()
	switch p := parser.(type) {
	case *weblog.Access:
		n := p.Number(rule.Name)
		var all []target
		for _, nginx := range []bool{true, false} {
			all = append(all, requestTarget(rule, p.Proxies(), func(peer, forwarded string, text func() string) string {
				return p.Line(n, peer, forwarded, nginx, text)
			}))
		}
		return all
	case *weblog.JSON:
		n := p.Number(rule.Name)
		return []target{requestTarget(rule, p.Proxies(), func(peer, forwarded string, text func() string) string {
			return p.Line(n, peer, forwarded, text)
		})}
	case *packet.Parser:
		var all []target
		for i := range samples {
			if samples[i].Addr.IsValid() {
				all = append(all, packetTarget(rule, name, &samples[i]))
			}
		}
		return all
	default:
		return nil
	}
}

// requestTarget are lines about a request, which line writes: with hostile texts in what a client sends, some of them in
// an X-Forwarded-For before what a trusted proxy writes there.
func requestTarget(rule *detect.Rule, proxies []netip.Prefix, line func(peer, forwarded string, text func() string) string) target {
	t := target{rule: rule, at: rulefile.Text{Line: rule.Line}, own: true}
	for _, peer := range peers() {
		if addr, _ := parse.Addr([]byte(peer)); !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			t.peers = append(t.peers, peer)
		}
	}
	t.write = func(h *hostile, peer string, depth int) []piece {
		forwarded := h.text(depth + 1)
		if len(proxies) > 0 && h.IntN(2) == 0 {
			peer, forwarded = proxies[h.IntN(len(proxies))].Addr().String(), forwarded+", "+peer
		}
		all := []piece{{text: line(peer, forwarded, func() string { return h.text(depth + 1) })}}
		if depth > 0 {
			return all
		}
		return h.around(rule.Service, "", "", all)
	}
	return t
}

// packetTarget are lines about a packet like that of a sample. Little in them is text: the operator's words before it, what
// a packet quotes at the end, and in RouterOS the name of the account behind a tunnel, which its interface is named for.
func packetTarget(rule *detect.Rule, parser string, s *detect.Sample) target {
	line, peer := s.Form.Line.Value, s.Form.IP.Value
	t := target{rule: rule, at: s.Form.Line, own: true, peers: []string{s.Addr.String()}}
	t.write = func(h *hostile, planted string, depth int) []piece {
		if depth > 0 {
			return []piece{{text: strings.ReplaceAll(line, peer, planted)}}
		}
		switch parser {
		case "mikrotik":
			front, back, _ := strings.Cut(line, " in:")
			_, back, _ = strings.Cut(back, " out:")
			return []piece{{text: front + " in:<pppoe-"}, {h.text(0), freeHole}, {text: "> out:" + back}}
		case "netfilter":
			before := ""
			if h.IntN(2) == 0 {
				before = strings.ReplaceAll(h.text(1), "IN=", "") // words, no packet
			}
			return []piece{{before, freeHole}, {text: line}, {" [" + h.text(0), freeHole}}
		default:
			return []piece{{text: line}, {"," + h.text(0), freeHole}}
		}
	}
	return t
}
