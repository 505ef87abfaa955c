package geoip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"tattled/event"
)

var built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// mmdb makes a database of the given type out of network -> record.
func mmdb(t testing.TB, kind string, records map[string]mmdbtype.Map) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, BuildEpoch: built.Unix(), RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range records {
		_, ipnet, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(ipnet, record); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func named(name string) mmdbtype.Map {
	return mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name)}}
}

func countryRecord(code, name string) mmdbtype.Map {
	c := named(name)
	c["iso_code"] = mmdbtype.String(code)
	return mmdbtype.Map{"country": c}
}

func cityRecord(code, name, cityName string) mmdbtype.Map {
	m := countryRecord(code, name)
	m["city"] = named(cityName)
	m["location"] = mmdbtype.Map{"latitude": mmdbtype.Float64(50.5), "longitude": mmdbtype.Float64(4.25)}
	return m
}

func asnRecord(number uint32, org string) mmdbtype.Map {
	return mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(number), "autonomous_system_organization": mmdbtype.String(org)}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace puts content at path by rename, as geoipupdate does.
func replace(t testing.TB, path string, content []byte) {
	t.Helper()
	write(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// cityOnly makes Databases with one loaded city database, in which 203.0.113.0/24 lies in the country code.
func cityOnly(t testing.TB, code string) (*Databases, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write(t, path, cityIn(t, code))
	d := New(Config{City: path})
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	return d, path
}

func cityIn(t testing.TB, code string) []byte {
	return mmdb(t, "GeoLite2-City", map[string]mmdbtype.Map{"203.0.113.0/24": cityRecord(code, "Land "+code, "Town "+code)})
}

func countryOf(d *Databases) string { return d.Place(netip.MustParseAddr("203.0.113.7")).Country }

// An event gets all that the three databases know, whatever form its address has, and nothing where they know nothing.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{City: filepath.Join(dir, "city"), Country: filepath.Join(dir, "country"), ASN: filepath.Join(dir, "asn")}
	write(t, cfg.City, mmdb(t, "GeoLite2-City", map[string]mmdbtype.Map{
		"203.0.113.0/24":    cityRecord("BE", "Belgium", "Ghent"),
		"2001:db8::/32":     cityRecord("NL", "Netherlands", "Delft"),
		"198.51.100.0/25":   {"city": named("Nowhere")},
		"198.51.100.128/25": cityRecord("x\n", "hostile", strings.Repeat("é", 200)),
	}))
	write(t, cfg.Country, mmdb(t, "DBIP-Country-Lite", map[string]mmdbtype.Map{"198.51.100.0/25": countryRecord("FR", "France")}))
	write(t, cfg.ASN, mmdb(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"203.0.113.0/24": asnRecord(64500, "Example")}))
	d := New(cfg)
	if got := d.Place(netip.MustParseAddr("203.0.113.7")); got != (event.Place{}) {
		t.Errorf("before Load: %+v", got)
	}
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	ghent := event.Place{Country: "BE", CountryName: "Belgium", City: "Ghent", ASN: 64500, Org: "Example", Lat: 50.5, Lon: 4.25}
	for addr, want := range map[string]event.Place{
		"203.0.113.7":        ghent,
		"::ffff:203.0.113.7": ghent,
		"2001:db8::1":        {Country: "NL", CountryName: "Netherlands", City: "Delft", Lat: 50.5, Lon: 4.25},
		"2001:db8::1%eth0":   {Country: "NL", CountryName: "Netherlands", City: "Delft", Lat: 50.5, Lon: 4.25},
		"198.51.100.1":       {Country: "FR", CountryName: "France", City: "Nowhere"},
		"198.51.100.129":     {City: strings.Repeat("é", 64), Lat: 50.5, Lon: 4.25},
		"192.0.2.1":          {},
		"::":                 {},
	} {
		if diff := cmp.Diff(want, d.Place(netip.MustParseAddr(addr))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", addr, diff)
		}
	}
	if got := d.Place(netip.Addr{}); got != (event.Place{}) {
		t.Errorf("no address: %+v", got)
	}
	want := map[string]time.Time{"city": built, "country": built, "asn": built}
	if diff := cmp.Diff(want, d.Builds()); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
	if got := d.Credits(); len(got) != 2 {
		t.Errorf("credits: %v, want MaxMind and DB-IP", got)
	}
}

// A daemon without databases, or without the type at all, works.
func TestNoDatabases(t *testing.T) {
	for name, d := range map[string]*Databases{"nil": nil, "empty": New(Config{})} {
		if d != nil {
			if err := d.Load(); err != nil {
				t.Errorf("%s: load: %v", name, err)
			}
		}
		if got := d.Place(netip.MustParseAddr("203.0.113.7")); got != (event.Place{}) {
			t.Errorf("%s: %+v", name, got)
		}
		if len(d.Builds()) != 0 || d.Credits() != nil || d.Err() != nil {
			t.Errorf("%s: knows of a database", name)
		}
	}
}

// Whatever lies where a database should be, Load says what is wrong with it and the old one goes on serving.
func TestLoadKeepsTheOldOne(t *testing.T) {
	good := cityIn(t, "NL")
	garbage := make([]byte, 4096)
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	bad := map[string]struct {
		make func(path string) error
		want string
	}{
		"missing":   {func(string) error { return nil }, "no such file"},
		"empty":     {func(p string) error { return os.WriteFile(p, nil, 0o600) }, "city"},
		"garbage":   {func(p string) error { return os.WriteFile(p, garbage, 0o600) }, "open the city database"},
		"directory": {func(p string) error { return os.Mkdir(p, 0o700) }, "not a regular file"},
		"fifo":      {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
		"wrong type": {func(p string) error {
			return os.WriteFile(p, mmdb(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"203.0.113.0/24": asnRecord(1, "x")}), 0o600)
		}, "takes a file like GeoLite2-City.mmdb"},
		"unknown type": {func(p string) error { return os.WriteFile(p, mmdb(t, "ipinfo generic", nil), 0o600) }, `its type is "ipinfo generic"`},
		"too large": {func(p string) error {
			f, err := os.Create(p)
			if err != nil {
				return err
			}
			return errors.Join(f.Truncate(maxSize+1), f.Close())
		}, "more than"},
		"damaged": {func(p string) error {
			b := bytes.Clone(good)
			copy(b[:30], bytes.Repeat([]byte{0xff}, 30))
			return os.WriteFile(p, b, 0o600)
		}, "open the city database"},
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			d, path := cityOnly(t, "BE")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			err := d.Load()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("load: %v, want one with %q", err, c.want)
			}
			if d.Err() == nil {
				t.Error("Err: nil")
			}
			if got := countryOf(d); got != "BE" {
				t.Errorf("country: %q, want the old one's", got)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, good)
			if err := errors.Join(d.Load(), d.Err()); err != nil || countryOf(d) != "NL" {
				t.Errorf("a good file afterwards: %v, country %q", err, countryOf(d))
			}
		})
	}
}

// A file that was cut anywhere is refused.
func TestCut(t *testing.T) {
	d, path := cityOnly(t, "BE")
	good := cityIn(t, "NL")
	for n := range len(good) {
		write(t, path, good[:n])
		if err := d.Load(); err == nil {
			t.Fatalf("cut at %d of %d: accepted", n, len(good))
		}
	}
	if got := countryOf(d); got != "BE" {
		t.Errorf("country: %q", got)
	}
}

// A file with flipped bits is refused or can be read: it never makes a lookup panic.
func TestFlippedBits(t *testing.T) {
	d, path := cityOnly(t, "BE")
	good := cityIn(t, "NL")
	seed := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		b := bytes.Clone(good)
		for range 1 + seed.IntN(4) {
			b[seed.IntN(len(b))] ^= 1 << seed.IntN(8)
		}
		write(t, path, b)
		if d.Load() != nil {
			continue
		}
		for _, a := range []string{"203.0.113.7", "192.0.2.1", "2001:db8::1", "255.255.255.255"} {
			if c := d.Place(netip.MustParseAddr(a)).Country; c != "" && len(c) != 2 {
				t.Fatalf("country %q", c)
			}
		}
	}
}

// One bad database does not hold up the others, and Follow changes all or nothing.
func TestEachByItself(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{City: filepath.Join(dir, "city"), ASN: filepath.Join(dir, "asn")}
	write(t, cfg.City, []byte("garbage"))
	write(t, cfg.ASN, mmdb(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"203.0.113.0/24": asnRecord(64500, "Example")}))
	d := New(cfg)
	if err := d.Load(); err == nil {
		t.Error("garbage was accepted")
	}
	addr := netip.MustParseAddr("203.0.113.7")
	if got := d.Place(addr).ASN; got != 64500 {
		t.Errorf("ASN %d", got)
	}

	other := filepath.Join(dir, "other")
	write(t, other, cityIn(t, "NL"))
	if err := d.Follow(Config{City: other, ASN: cfg.City}); err == nil {
		t.Error("Follow accepted garbage")
	}
	if got := d.Place(addr); got.ASN != 64500 || got.Country != "" {
		t.Errorf("after a Follow that failed: %+v", got)
	}
	if err := d.Follow(Config{City: other}); err != nil {
		t.Error(err)
	}
	if got := d.Place(addr); got.ASN != 0 || got.Country != "NL" {
		t.Errorf("after Follow: %+v", got)
	}
	if err := d.Err(); err != nil {
		t.Errorf("Err after Follow: %v", err)
	}
}

// A reload accepts what a start accepts: a file that is not there yet, and one of which the last good database is in use.
func TestFollowGoesOnWithout(t *testing.T) {
	d, path := cityOnly(t, "BE")
	missing := filepath.Join(t.TempDir(), "asn")
	follow := func(what string) {
		t.Helper()
		if err := d.Follow(Config{City: path, ASN: missing}); err != nil {
			t.Errorf("%s: refused: %v", what, err)
		}
		if got := countryOf(d); got != "BE" || d.Err() == nil {
			t.Errorf("%s: country %q, want the old one's; Err %v", what, got, d.Err())
		}
	}
	write(t, path, []byte("garbage"))
	follow("garbage")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	follow("missing")
	write(t, path, cityIn(t, "NL"))
	write(t, missing, mmdb(t, "GeoLite2-ASN", map[string]mmdbtype.Map{"203.0.113.0/24": asnRecord(64500, "Example")}))
	if err := errors.Join(d.Load(), d.Err()); err != nil || countryOf(d) != "NL" {
		t.Errorf("once they are there: %v, country %q", err, countryOf(d))
	}
}

// journal is a log that one goroutine writes and another reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Run sees every way in which updaters replace a file, waits until the file rests, and keeps the old one as long as the
// new one is bad or missing.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, path := cityOnly(t, "AA")
		var log journal
		d.logger = slog.New(slog.NewTextHandler(&log, nil))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		// after lets so many looks pass and tells the country that is served then.
		after := func(looks int) string {
			<-time.After(time.Duration(looks) * pollEvery)
			synctest.Wait()
			return countryOf(d)
		}
		expect := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: country %q, want %q", what, got, want)
			}
		}
		after(1)

		replace(t, path, cityIn(t, "BB"))
		expect("renamed, at the first look", after(1), "AA")
		expect("renamed, after it rested", after(1), "BB")

		write(t, path, cityIn(t, "CC")) // same size, same inode
		expect("overwritten in place", after(2), "CC")

		next := cityIn(t, "DD")
		for n := 0; n < len(next); n += len(next)/3 + 1 {
			write(t, path, next[:n])
			expect("while it is being written", after(1), "CC")
		}
		write(t, path, next)
		expect("written to the end", after(2), "DD")

		write(t, path, []byte("garbage"))
		expect("garbage", after(3), "DD")
		if d.Err() == nil || strings.Count(log.String(), "refused") != 1 {
			t.Errorf("garbage is told once: Err %v, log:\n%s", d.Err(), &log)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("removed", after(3), "DD")
		write(t, path, cityIn(t, "EE"))
		expect("back again", after(2), "EE")
		if err := d.Err(); err != nil {
			t.Errorf("Err: %v", err)
		}

		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// A thousand swaps, bad files among them, under lookups: no crash, and each answer is wholly that of one good database.
func TestSwapsUnderLookups(t *testing.T) {
	d, path := cityOnly(t, "AA")
	contents := [][]byte{cityIn(t, "AA"), cityIn(t, "BB"), []byte("garbage"), cityIn(t, "CC")[:300]}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var lookups, wrong atomic.Uint64
	for range 4 {
		readers.Go(func() {
			addr := netip.MustParseAddr("203.0.113.7")
			for {
				select {
				case <-stop:
					return
				default:
				}
				p := d.Place(addr)
				lookups.Add(1)
				if (p.Country != "AA" && p.Country != "BB") || p.City != "Town "+p.Country || p.CountryName != "Land "+p.Country {
					wrong.Add(1)
					t.Errorf("mixed or lost: %+v", p)
					return
				}
			}
		})
	}
	const swaps = 1000
	for i := range swaps {
		next := contents[i%len(contents)]
		if i%3 == 0 {
			replace(t, path, next)
		} else {
			write(t, path, next)
		}
		if err := d.Load(); (err == nil) != (i%len(contents) < 2) {
			t.Fatalf("swap %d: %v", i, err)
		}
	}
	close(stop)
	readers.Wait()
	t.Logf("figure: row 22: %d swaps by rename and in place, half of them garbage or cut, under %d lookups: 0 crashes, %d wrong answers, the old one kept at each bad file",
		swaps, lookups.Load(), wrong.Load())
}

// Every path that cannot be a database is told, with what to write.
func TestCheck(t *testing.T) {
	c := Config{City: "/srv/GeoLite2-City.tar.gz", Country: "var/GeoLite2-Country.mmdb", ASN: "/var/lib/GeoIP/"}
	got := map[string]string{}
	c.Check(func(path, problem string) { got[path] = problem })
	want := map[string]string{
		"city": `"/srv/GeoLite2-City.tar.gz" is not a MaxMind DB file: unpack the download and name the file inside, like GeoLite2-City.mmdb`,
		"asn":  `"/var/lib/GeoIP/" is a directory: name the file in it, like /var/lib/GeoIP/GeoLite2-ASN.mmdb`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// bigCity makes a city database of n networks, each with a record of its own.
func bigCity(t testing.TB, n int) []byte {
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", BuildEpoch: built.Unix(), RecordSize: 28})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ip := net.IPv4(byte(1+i>>16), byte(i>>8), byte(i), 0)
		if ip[12] == 10 || ip[12] == 127 {
			continue
		}
		town := cityRecord("BE", "Belgium", "Town "+ip.String())
		if err := tree.Insert(&net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}, town); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "city.mmdb")
	content := bigCity(b, 20_000)
	write(b, path, content)
	d := New(Config{City: path})
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := d.Load(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	path := filepath.Join(b.TempDir(), "city.mmdb")
	write(b, path, bigCity(b, 20_000))
	d := New(Config{City: path})
	if err := d.Load(); err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddr("1.20.30.40")
	b.ReportAllocs()
	for b.Loop() {
		if d.Place(addr).Country != "BE" {
			b.Fatal("not found")
		}
	}
}
