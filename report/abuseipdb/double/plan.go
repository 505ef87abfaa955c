package double

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Plans lists the names of the plans.
func Plans() []string { return []string{"standard", "webmaster", "supporter", "basic", "premium"} }

// endpoint is one of the API's.
type endpoint struct {
	name string
	verb string
	day  [5]int64 // requests a day, by plan (documented)
	do   func(d *Double, c *call) reply
}

// endpoints returns all of them (documented).
func endpoints() []endpoint {
	return []endpoint{
		{"check", http.MethodGet, [5]int64{1000, 3000, 5000, 10000, 50000}, (*Double).check},
		{"reports", http.MethodGet, [5]int64{100, 500, 1000, 5000, 25000}, (*Double).listReports},
		{"blacklist", http.MethodGet, [5]int64{5, 10, 20, 100, 500}, (*Double).blacklist},
		{"report", http.MethodPost, [5]int64{1000, 3000, 1000, 10000, 50000}, (*Double).report},
		{"check-block", http.MethodGet, [5]int64{100, 250, 500, 1000, 5000}, (*Double).checkBlock},
		{"bulk-report", http.MethodPost, [5]int64{5, 10, 20, 100, 500}, (*Double).bulkReport},
		{"clear-address", http.MethodDelete, [5]int64{5, 10, 20, 100, 500}, (*Double).clearAddress},
	}
}

// Endpoints lists the names of the endpoints.
func Endpoints() []string {
	var all []string
	for _, e := range endpoints() {
		all = append(all, e.name)
	}
	return all
}

// find returns the endpoint of a name.
func find(name string) (endpoint, bool) {
	all := endpoints()
	at := slices.IndexFunc(all, func(e endpoint) bool { return e.name == name })
	if at < 0 {
		return endpoint{}, false
	}
	return all[at], true
}

// plan is the index of the double's plan.
func (d *Double) plan() int { return slices.Index(Plans(), d.options.Plan) }

// byPlan picks the double's of three bounds. Webmaster and supporter have those of standard (synthetic).
func byPlan[T any](d *Double, standard, basic, premium T) T {
	switch d.options.Plan {
	case "basic":
		return basic
	case "premium":
		return premium
	}
	return standard
}

// subscribed tells whether the plan is one of a subscriber: basic or premium (synthetic for webmaster and supporter).
func (d *Double) subscribed() bool { return byPlan(d, false, true, true) }

// call is one request to an endpoint.
type call struct {
	key   string // keyID
	form  url.Values
	file  []byte // of bulk-report; nil if there is none
	plain bool   // the client accepts text/plain
	base  string // of the API, for links
	half  bool   // of HalfSaved
	use   *used
}

// answer does what was asked: key, endpoint, verb and quota are seen to, in this order (synthetic).
func (d *Double) answer(method, name string, right bool, c *call) reply {
	if !right {
		return unauthorized()
	}
	e, there := find(name)
	switch {
	case !there:
		return refuse(http.StatusNotFound, fmt.Sprintf("There is no endpoint %q.", name), "") // synthetic
	case e.verb != method:
		return refuse(http.StatusMethodNotAllowed, fmt.Sprintf("The %s method is not supported for this route.", method), "") // synthetic
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.use = d.use(c.key, name); c.use == nil {
		return unauthorized()
	}
	limit := e.day[d.plan()]
	if c.use.Count >= limit {
		return d.exhausted(limit)
	}
	c.use.Count++
	out := e.do(d, c)
	if out.header == nil {
		out.header = map[string]string{}
	}
	// Every answer carries these two (documented).
	out.header["X-RateLimit-Limit"] = strconv.FormatInt(limit, 10)
	out.header["X-RateLimit-Remaining"] = strconv.FormatInt(limit-c.use.Count, 10)
	return out
}

// unauthorized is the answer to a wrong key (text observed by many).
func unauthorized() reply {
	return refuse(http.StatusUnauthorized, "Authentication failed. Your API key is either missing, incorrect, or revoked. "+
		"Note: The APIv2 key differs from the APIv1 key.", "")
}

// use returns what key has used of endpoint today; nil if there are too many keys (synthetic). The lock must be held.
func (d *Double) use(key, endpoint string) *used {
	byEndpoint := d.usage[key]
	if byEndpoint == nil {
		if len(d.usage) >= maxKeys {
			return nil
		}
		byEndpoint = map[string]*used{}
		d.usage[key] = byEndpoint
	}
	today := d.now().In(d.zone).Format(time.DateOnly)
	u := byEndpoint[endpoint]
	if u == nil || u.Day != today {
		u = &used{Day: today}
		byEndpoint[endpoint] = u
	}
	return u
}

// exhausted is the answer when the day's quota is used up (documented, headers included). The lock must be held.
func (d *Double) exhausted(limit int64) reply {
	out := refuse(http.StatusTooManyRequests,
		fmt.Sprintf("Daily rate limit of %d requests exceeded for this endpoint. See headers for additional details.", limit), "")
	now := d.now().In(d.zone)
	reset := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, d.zone)
	out.header = map[string]string{
		"Retry-After":           strconv.Itoa(int(reset.Sub(now)/time.Second) + 1),
		"X-RateLimit-Limit":     strconv.FormatInt(limit, 10),
		"X-RateLimit-Remaining": "0",
		"X-RateLimit-Reset":     strconv.FormatInt(reset.Unix(), 10),
	}
	return out
}
