package double

import (
	"cmp"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	day    = 24 * time.Hour
	badAge = "The max age in days must be between 1 and 365." // documented
)

// since returns from when on reports count: maxAgeInDays, 1 to 365, by default 30 (documented). The lock must be held.
func (d *Double) since(c *call) (time.Time, bool) {
	days, valid := number(c.form.Get("maxAgeInDays"), 30, 1, 365)
	return d.now().Add(-time.Duration(days) * day), valid
}

// checked is what check says: the fields and their order are documented.
type checked struct {
	IP            string   `json:"ipAddress"`
	IsPublic      bool     `json:"isPublic"`
	Version       int      `json:"ipVersion"`
	IsWhitelisted *bool    `json:"isWhitelisted"`
	Score         int      `json:"abuseConfidenceScore"`
	CountryCode   *string  `json:"countryCode"`
	CountryName   any      `json:"countryName,omitempty"` // with verbose alone
	UsageType     *string  `json:"usageType"`
	ISP           *string  `json:"isp"`
	Domain        *string  `json:"domain"`
	Hostnames     []string `json:"hostnames"`
	IsTor         bool     `json:"isTor"`
	Total         int      `json:"totalReports"`
	Users         int      `json:"numDistinctUsers"`
	Last          *string  `json:"lastReportedAt"`
	Reports       any      `json:"reports,omitempty"` // with verbose alone
}

// check is GET check. The score is what was set, else 0 (synthetic), and what nobody set of a place or a provider is null.
// The lock must be held.
func (d *Double) check(c *call) reply {
	addr, valid := parseAddr(c.form.Get("ipAddress"))
	if !valid {
		return invalid(badAddress, "ipAddress")
	}
	since, valid := d.since(c)
	if !valid {
		return invalid(badAge, "maxAgeInDays")
	}
	all := d.about(addr, since)
	facts := d.known[addr]
	out := checked{
		IP: addr.String(), IsPublic: !reserved(addr), Version: version(addr), IsWhitelisted: facts.Whitelisted, Score: facts.Score,
		CountryCode: orNull(facts.Country), UsageType: orNull(facts.UsageType), ISP: orNull(facts.ISP), Domain: orNull(facts.Domain),
		Hostnames: nonNil(facts.Hostnames), IsTor: facts.Tor, Total: len(all), Users: distinct(all),
	}
	if reserved(addr) { // observed for 192.0.2.1 and 255.255.255.123, synthetic for their like
		whitelisted := addr.Is4() && addr != netip.AddrFrom4([4]byte{255, 255, 255, 123})
		out.UsageType, out.IsWhitelisted = orNull(cmp.Or(facts.UsageType, "Reserved")), cmp.Or(facts.Whitelisted, &whitelisted)
	}
	if ever := d.about(addr, time.Time{}); len(ever) > 0 {
		out.Last = orNull(stamp(ever[0].ReceivedAt))
	}
	if c.form.Has("verbose") { // any value, or none (documented)
		out.CountryName, out.Reports = orNull(facts.Country), rows(all[:min(len(all), 10_000)]) // the name is the code (synthetic)
	}
	return ok(out)
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func version(addr netip.Addr) int {
	if addr.Is4() {
		return 4
	}
	return 6
}

// reserved tells whether an address is nobody's in public.
func reserved(addr netip.Addr) bool {
	for _, text := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "100.64.0.0/10", "240.0.0.0/4", "0.0.0.0/8", "2001:db8::/32"} {
		if netip.MustParsePrefix(text).Contains(addr) {
			return true
		}
	}
	return !addr.IsGlobalUnicast() || addr.IsPrivate()
}

// distinct counts the reporters.
func distinct(all []stored) int {
	who := map[string]bool{}
	for _, r := range all {
		who[r.Reporter] = true
	}
	return len(who)
}

// listReports is GET reports: pages of the reports about an address, newest first (the order is synthetic). The lock must be held.
func (d *Double) listReports(c *call) reply {
	addr, valid := parseAddr(c.form.Get("ipAddress"))
	if !valid {
		return invalid(badAddress, "ipAddress")
	}
	since, valid := d.since(c)
	if !valid {
		return invalid(badAge, "maxAgeInDays")
	}
	page, valid := number(c.form.Get("page"), 1, 1, 1<<30)
	if !valid {
		return invalid("The page must be at least 1.", "page") // text synthetic
	}
	size, valid := number(c.form.Get("perPage"), 25, 1, 100)
	if !valid {
		return invalid("The per page must be between 1 and 100.", "perPage") // text synthetic
	}
	all := d.about(addr, since)
	last := max(1, (len(all)+size-1)/size)
	from := min((page-1)*size, len(all))
	shown := rows(all[from:min(from+size, len(all))])
	link := func(to int) *string { // its form is synthetic
		if to < 1 || to > last {
			return nil
		}
		q := url.Values{"ipAddress": {addr.String()}, "maxAgeInDays": {cmp.Or(c.form.Get("maxAgeInDays"), "30")}, "page": {strconv.Itoa(to)}, "perPage": {strconv.Itoa(size)}}
		return orNull(c.base + "reports?" + q.Encode())
	}
	return ok(struct {
		Total    int         `json:"total"`
		Page     int         `json:"page"`
		Count    int         `json:"count"`
		PerPage  int         `json:"perPage"`
		LastPage int         `json:"lastPage"`
		Next     *string     `json:"nextPageUrl"`
		Previous *string     `json:"previousPageUrl"`
		Results  []reportRow `json:"results"`
	}{len(all), page, len(shown), size, last, link(page + 1), link(page - 1), shown})
}

// listed is a row of the blacklist (documented; countryCode observed).
type listed struct {
	IP          string  `json:"ipAddress"`
	CountryCode *string `json:"countryCode"`
	Score       int     `json:"abuseConfidenceScore"`
	Last        string  `json:"lastReportedAt"`
}

// blacklist is GET blacklist: the addresses whose score was set, best known first (documented). It is made at once; the real
// one is made from time to time (synthetic). The lock must be held.
func (d *Double) blacklist(c *call) reply {
	least, valid := number(c.form.Get("confidenceMinimum"), 100, 25, 100)
	if !valid {
		return invalid("The confidence minimum must be between 25 and 100.", "confidenceMinimum") // text synthetic
	}
	limit, valid := number(c.form.Get("limit"), 10_000, 1, 1<<30)
	if !valid {
		return invalid("The limit must be at least 1.", "limit") // text synthetic
	}
	family := c.form.Get("ipVersion")
	if !slices.Contains([]string{"", "4", "6"}, family) {
		return invalid("The selected ip version is invalid.", "ipVersion") // text synthetic
	}
	only, except := countries(c.form["onlyCountries"]), countries(c.form["exceptCountries"])
	if !d.subscribed() { // silently (documented for the score; synthetic for the countries)
		least, only, except = 100, nil, nil
	}
	limit = min(limit, byPlan(d, 10_000, 100_000, 500_000))
	list := []listed{}
	for addr, k := range d.known {
		switch {
		case k.Score < least, family != "" && family != strconv.Itoa(version(addr)),
			only != nil && !slices.Contains(only, k.Country), slices.Contains(except, k.Country):
			continue
		}
		list = append(list, listed{addr.String(), orNull(k.Country), k.Score, stamp(d.lastReport(addr, k.At))})
	}
	slices.SortFunc(list, func(a, b listed) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Last, a.Last), cmp.Compare(a.IP, b.IP))
	})
	list = list[:min(len(list), limit)]
	generated := stamp(d.now())
	if c.plain || c.form.Has("plaintext") {
		var b strings.Builder
		for _, l := range list {
			b.WriteString(l.IP + "\n")
		}
		text := b.String()
		return reply{status: http.StatusOK, text: &text, header: map[string]string{"X-Generated-At": generated}}
	}
	return reply{status: http.StatusOK, body: struct {
		Meta map[string]string `json:"meta"`
		Data []listed          `json:"data"`
	}{map[string]string{"generatedAt": generated}, list}}
}

// countries reads "DE,NL" or repeated parameters; nil if there are none.
func countries(values []string) []string {
	if len(values) == 0 {
		return nil
	}
	return strings.Split(strings.ToUpper(strings.Join(values, ",")), ",")
}

// lastReport is when an address was reported last, otherwise if it was not. The lock must be held.
func (d *Double) lastReport(addr netip.Addr, otherwise time.Time) time.Time {
	if all := d.about(addr, time.Time{}); len(all) > 0 {
		return all[0].ReceivedAt
	}
	return otherwise
}

// block is what check-block says (documented).
type block struct {
	Network   string         `json:"networkAddress"`
	Netmask   string         `json:"netmask"`
	Min       string         `json:"minAddress"`
	Max       string         `json:"maxAddress"`
	Hosts     *big.Int       `json:"numPossibleHosts"`
	Desc      string         `json:"addressSpaceDesc"`
	Addresses []blockAddress `json:"reportedAddress"`
}

type blockAddress struct {
	IP      string  `json:"ipAddress"`
	Reports int     `json:"numReports"`
	Last    string  `json:"mostRecentReport"`
	Score   int     `json:"abuseConfidenceScore"`
	Country *string `json:"countryCode"`
}

// checkBlock is GET check-block. Plans bound the network and the age (documented); beyond, the answer is 402 (documented), with
// a text that is synthetic. IPv6 networks are not bounded (synthetic). The lock must be held.
func (d *Double) checkBlock(c *call) reply {
	network, err := netip.ParsePrefix(c.form.Get("network"))
	if err != nil {
		return invalid("The network must be a valid CIDR notation.", "network") // text synthetic
	}
	network = network.Masked() // host bits are allowed (documented)
	since, valid := d.since(c)
	if !valid {
		return invalid(badAge, "maxAgeInDays")
	}
	days, _ := number(c.form.Get("maxAgeInDays"), 30, 1, 365)
	if network.Addr().Is4() && network.Bits() < byPlan(d, 24, 20, 16) || days > byPlan(d, 30, 60, 365) {
		return refuse(http.StatusPaymentRequired, "Your plan does not cover a network or an age of this size.", "network")
	}
	out := describe(network)
	byAddr := map[string]*blockAddress{}
	for r := range d.reports.each() {
		addr, err := netip.ParseAddr(r.IP)
		if err != nil || !network.Contains(addr) || r.ReceivedAt.Before(since) {
			continue
		}
		a := byAddr[r.IP]
		if a == nil {
			a = &blockAddress{IP: r.IP, Score: d.known[addr].Score, Country: orNull(d.known[addr].Country)}
			byAddr[r.IP] = a
		}
		a.Reports, a.Last = a.Reports+1, stamp(r.ReceivedAt)
	}
	out.Addresses = []blockAddress{}
	for _, ip := range slices.Sorted(maps.Keys(byAddr)) { // the order is synthetic
		out.Addresses = append(out.Addresses, *byAddr[ip])
	}
	return ok(out)
}

// describe describes a network: for IPv4 without its first and last address (documented by the sample), for IPv6 and for /31
// and /32 with them (synthetic).
func describe(network netip.Prefix) block {
	first := network.Addr()
	size := first.BitLen() - network.Bits()
	mask := net.CIDRMask(network.Bits(), first.BitLen())
	raw := first.AsSlice()
	for i := range raw {
		raw[i] |= ^mask[i]
	}
	last, _ := netip.AddrFromSlice(raw)
	out := block{Network: first.String(), Netmask: net.IP(mask).String(), Hosts: new(big.Int).Lsh(big.NewInt(1), uint(size)), Desc: "Internet"}
	if first.Is4() && size > 1 {
		first, last = first.Next(), last.Prev()
		out.Hosts.Sub(out.Hosts, big.NewInt(2))
	}
	out.Min, out.Max = first.String(), last.String()
	switch { // "Loopback" is documented, the others are synthetic
	case first.IsLoopback():
		out.Desc = "Loopback"
	case first.IsPrivate():
		out.Desc = "Private"
	case reserved(first):
		out.Desc = "Reserved"
	}
	return out
}
