package policy

import (
	"net/netip"
	"slices"
	"time"

	"tattled/event"
)

// When a service is taken to be at fault, milliseconds.
const (
	minAway     = 5 // addresses that got in before and fail now
	awayFor     = int64(10 * time.Minute / time.Millisecond)
	enteredFor  = int64(5 * time.Minute / time.Millisecond)
	heldAtMost  = int64(6 * time.Hour / time.Millisecond)
	maxServices = 16
	maxVisitors = 256 // of one service
)

// Outages follows, for each service, how the addresses fare that got in there before. Where at least five of them fail
// within ten minutes, and more than got in within five, the fault is the service's or that of what it asks (LDAP, RADIUS,
// SSSD, a database), and not theirs: reports about addresses that got in before are held back, for six hours at most. Only
// proven events are looked at, so that nobody feigns an outage by forging; one who has accounts of his own, and five
// addresses, may, and gains no more than that these five are not reported, as long as fewer others get in.
//
// It is bounded, and not stored: after a restart it is known again as soon as five have failed. The zero value knows nothing.
type Outages struct{ services []visitors }

// visitors is the addresses that got in at a service before, by what became of them last.
type visitors struct {
	service string
	last    int64
	since   int64 // the begin of an outage, 0 for none
	all     []visitor
}

type visitor struct {
	addr   netip.Addr // its Key
	at     int64
	failed bool
}

// Outage is a service that lets nobody in.
type Outage struct {
	Service     string
	Since, Last time.Time // by the time of the events: the begin, and the last failure or success of such an address
	Addresses   int       // that got in before and fail now, as far as they are kept apart
}

// observe takes in the failure or success o of an address that got in before.
func (x *Outages) observe(o *observation) {
	v := x.of(o.e.Service)
	failed := o.e.Kind == event.AuthFailure
	key := Key(o.addr)
	i := slices.IndexFunc(v.all, func(one visitor) bool { return one.addr == key })
	switch {
	case i >= 0:
		if o.at >= v.all[i].at {
			v.all[i].at, v.all[i].failed = o.at, failed
		}
	case len(v.all) < maxVisitors:
		v.all = append(v.all, visitor{key, o.at, failed})
	default:
		oldest := 0
		for k := range v.all {
			if v.all[k].at < v.all[oldest].at {
				oldest = k
			}
		}
		v.all[oldest] = visitor{key, o.at, failed}
	}
	v.last = max(v.last, o.at)
	switch away, entered := v.count(o.at); {
	case away < minAway || away <= entered:
		v.since = 0
	case v.since == 0:
		v.since = o.at
	}
}

// of returns what is known of a service. The one that was quiet for longest makes way for another.
func (x *Outages) of(service string) *visitors {
	oldest := 0
	for i := range x.services {
		if x.services[i].service == service {
			return &x.services[i]
		}
		if x.services[i].last < x.services[oldest].last {
			oldest = i
		}
	}
	if len(x.services) < maxServices {
		x.services = append(x.services, visitors{service: service})
		return &x.services[len(x.services)-1]
	}
	x.services[oldest] = visitors{service: service}
	return &x.services[oldest]
}

// count returns how many failed and how many got in at last, shortly before the moment at.
func (v *visitors) count(at int64) (away, entered int) {
	for i := range v.all {
		switch ago := at - v.all[i].at; {
		case ago < 0:
		case v.all[i].failed && ago <= awayFor:
			away++
		case !v.all[i].failed && ago <= enteredFor:
			entered++
		}
	}
	return away, entered
}

// holds reports whether service is at fault at the moment at.
func (x *Outages) holds(service string, at int64) bool {
	for i := range x.services {
		if v := &x.services[i]; v.service == service {
			return v.since > 0 && at >= v.since && at-v.since <= heldAtMost
		}
	}
	return false
}

// Now returns the services that are at fault, by the events so far, in no order.
func (x *Outages) Now() []Outage {
	var all []Outage
	for i := range x.services {
		v := &x.services[i]
		if v.since == 0 {
			continue
		}
		away, _ := v.count(v.last)
		all = append(all, Outage{v.service, timeOf(v.since), timeOf(v.last), away})
	}
	return all
}
