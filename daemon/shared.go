package daemon

import (
	"fmt"
	"strings"

	"tattled/policy"
)

// Shared networks: the gate refuses to report them. One of a content delivery network in a log says more: what the server
// takes for its visitors are the network's edges, so that attackers are not found either.

// sharedHit is told of the first address of each list of shared networks that would have been reported.
func (d *Daemon) sharedHit(h policy.Hit) {
	if h.Edge() {
		d.log.Warn("an address of a content delivery network would have been reported: a log has it in the visitor's place",
			"ip", h.Addr.String(), "operator", h.List.Operator, "service", h.Service, "remedy", edgeRemedy(h))
		return
	}
	d.log.Warn("an address that many share would have been reported", "ip", h.Addr.String(), "operator", h.List.Operator,
		"service", h.Service, "remedy", sharedRemedy)
}

// sharedRemedy is for an address that is no content delivery network's.
const sharedRemedy = "look at its events; if it is to be reported all the same, set report.abuseipdb.report_infrastructure"

func edgeRemedy(h policy.Hit) string {
	if !strings.HasPrefix(h.Service, "web-") {
		return fmt.Sprintf("let %s log the visitor's own address, as it does behind a proxy that it knows", h.Service)
	}
	return fmt.Sprintf("set rules.trusted_proxies: [\"@%s\"] with X-Forwarded-For as the last column of the log, or let the web server itself take the visitor's address from it", h.List.Name)
}

// sharedProblems says for people of which shared networks an address would have been reported.
func sharedProblems(g *policy.Gate) []string {
	var all []string
	for _, h := range g.Hits() {
		if h.Edge() {
			all = append(all, fmt.Sprintf("%s: the log of %s has its address %s where a visitor's should be, so that attackers are not told from others: %s", h.List.Operator, h.Service, h.Addr, edgeRemedy(h)))
		} else {
			all = append(all, fmt.Sprintf("%s: its address %s would have been reported for what the log of %s says, but many share it: %s", h.List.Operator, h.Addr, h.Service, sharedRemedy))
		}
	}
	return all
}
