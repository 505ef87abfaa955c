package daemon

import (
	"fmt"
	"strings"

	"tattled/event"
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
const sharedRemedy = "look at its events; if it is to be reported anyway, set report.abuseipdb.report_infrastructure"

func edgeRemedy(h policy.Hit) string {
	if !strings.HasPrefix(h.Service, "web-") {
		return fmt.Sprintf("let %s log the visitor's own address, as it does behind a proxy that it knows", h.Service)
	}
	return fmt.Sprintf("set rules.trusted_proxies: [\"@%s\"] with X-Forwarded-For as the last column of the log, or let the web server itself take the visitor's address from it", h.List.Name)
}

// sharedProblems says of which shared networks an address would have been reported.
func sharedProblems(g *policy.Gate) []event.Problem {
	var all []event.Problem
	for _, h := range g.Hits() {
		if h.Edge() {
			all = append(all, event.Problem{
				What:   fmt.Sprintf("%s: a log has its address in the visitor's place", h.List.Operator),
				Cause:  fmt.Sprintf("the log of %s has %s where a visitor's address should be, so attackers cannot be distinguished from others", h.Service, h.Addr),
				Remedy: edgeRemedy(h),
			})
		} else {
			all = append(all, event.Problem{
				What:   fmt.Sprintf("%s: its address would have been reported", h.List.Operator),
				Cause:  fmt.Sprintf("%s would have been reported for what the log of %s says, but many share it", h.Addr, h.Service),
				Remedy: sharedRemedy,
			})
		}
	}
	return all
}
