package daemon

import (
	"fmt"
	"sync"
	"time"

	"tattled/event"
	"tattled/policy"
)

// awayRemedy is for a service that lets nobody in.
const awayRemedy = "check whether the service's account directory (LDAP, RADIUS, SSSD, a database) is reachable"

// awayShown is how long after its last event an outage of a service remains a problem.
const awayShown = 10 * time.Minute

// away follows the services that let nobody in (policy.Outages): each is a problem as long as it lasts, and once in the log.
// Safe for concurrent use.
type away struct {
	mu     sync.Mutex
	logged map[string]time.Time // when the outage began that was logged last, by service: as few as policy.Outages follows
}

// began returns those of outages that were not seen before.
func (a *away) began(outages []policy.Outage) []policy.Outage {
	a.mu.Lock()
	defer a.mu.Unlock()
	logged := map[string]time.Time{}
	var fresh []policy.Outage
	for _, o := range outages {
		if !a.logged[o.Service].Equal(o.Since) {
			fresh = append(fresh, o)
		}
		logged[o.Service] = o.Since
	}
	a.logged = logged
	return fresh
}

// awayProblems says which services let nobody in at now.
func awayProblems(outages []policy.Outage, now time.Time) []event.Problem {
	var all []event.Problem
	for _, o := range outages {
		if now.Sub(o.Last) > awayShown {
			continue
		}
		all = append(all, event.Problem{
			What: o.Service + ": addresses that logged in before now fail",
			Cause: fmt.Sprintf("%d addresses that logged in before have failed, more than succeed; reports about such addresses are held back meanwhile, for six hours at most",
				o.Addresses),
			Remedy: awayRemedy,
			Since:  o.Since,
		})
	}
	return all
}
