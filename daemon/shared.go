package daemon

import (
	"fmt"

	"tattled/policy"
)

// Shared networks: the gate refuses to report them. One of a content delivery network in a web server's log says more: what
// the server takes for its visitors are the network's edges, so that attackers are not found either.

// sharedHit is told of the first address of each list of shared networks that would have been reported.
func (d *Daemon) sharedHit(h policy.Hit) {
	if h.Edge() {
		d.log.Warn("an address of a content delivery network would have been reported: a log has it in the visitor's place",
			"ip", h.Addr.String(), "operator", h.List.Operator, "remedy", edgeRemedy(h))
		return
	}
	d.log.Info("an address that many share is not reported", "ip", h.Addr.String(), "operator", h.List.Operator, "list", h.List.Name)
}

func edgeRemedy(h policy.Hit) string {
	return fmt.Sprintf("rules.trusted_proxies: [\"@%s\"] with X-Forwarded-For as the last column of the log, or let the web server itself take the visitor's address from it", h.List.Name)
}

// edgeProblems says for people which content delivery networks a log has for visitors.
func edgeProblems(g *policy.Gate) []string {
	var all []string
	for _, h := range g.Hits() {
		if h.Edge() {
			all = append(all, fmt.Sprintf("%s: a log has its address %s where a visitor's should be, so that attackers are not told from others. Set %s.", h.List.Operator, h.Addr, edgeRemedy(h)))
		}
	}
	return all
}
