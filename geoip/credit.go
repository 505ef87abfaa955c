package geoip

import "strings"

// Credit names the maker of a database, whose licence wants it to be named where its data is shown.
type Credit struct {
	Text string
	URL  string
}

// Credits returns whom the licences of the databases in use want to be named: nobody, or one or two makers.
func (d *Databases) Credits() []Credit {
	if d == nil {
		return nil
	}
	var maxmind, dbip bool
	for _, db := range d.open.Load() {
		if db == nil {
			continue
		}
		if strings.HasPrefix(db.maker, "DBIP-") {
			dbip = true
		} else {
			maxmind = true
		}
	}
	var all []Credit
	if maxmind {
		all = append(all, Credit{"GeoLite2 and GeoIP data by MaxMind", "https://www.maxmind.com"})
	}
	if dbip {
		all = append(all, Credit{"IP geolocation by DB-IP", "https://db-ip.com"})
	}
	return all
}
