package geoip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"tattled/event"
)

// maxSize bounds a database file, in bytes. The largest on the market are about 150 MB.
const maxSize = 512 << 20

// maxName bounds a name that a database gives, in bytes.
const maxName = 128

// role is what a database is used for.
type role int

const (
	city role = iota
	country
	asn
	roles
)

func (r role) String() string { return [...]string{"city", "country", "asn"}[r] }

// example is a file that is usual in this role.
func (r role) example() string {
	return [...]string{"GeoLite2-City.mmdb", "GeoLite2-Country.mmdb", "GeoLite2-ASN.mmdb"}[r]
}

// stamp tells one state of a file from another. The change time is in it because an updater may set the other times to
// what they were. The zero stamp is a file that is not there.
type stamp struct {
	device, inode  uint64
	size           int64
	written, moved syscall.Timespec
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stampFrom(info)
}

func stampFrom(info os.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{size: info.Size(), written: syscall.NsecToTimespec(info.ModTime().UnixNano())}
	}
	return stamp{device: uint64(st.Dev), inode: st.Ino, size: st.Size, written: st.Mtim, moved: st.Ctim}
}

// database is one open file, wholly in memory.
type database struct {
	reader *geoip2.Reader
	maker  string
	built  time.Time
}

// read reads the file at path and proves it: a regular file of a bearable size that nobody wrote to meanwhile, the right
// type for its role, and lookups that work wherever they are tried. The stamp is the file's before it was read.
func read(r role, path string) (*database, stamp, error) {
	content, at, err := contentOf(path)
	if err != nil {
		return nil, at, fmt.Errorf("read the %s database: %w", r, err)
	}
	db, err := open(r, content)
	if err != nil {
		return nil, at, fmt.Errorf("open the %s database %s: %w", r, path, err)
	}
	return db, at, nil
}

func contentOf(path string) ([]byte, stamp, error) {
	// A FIFO in its place must not hold us for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, stampOf(path), err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	at := stampFrom(info)
	switch {
	case !info.Mode().IsRegular():
		return nil, at, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxSize:
		return nil, at, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxSize)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, at, fmt.Errorf("read %s: %w", path, err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, at, err
	}
	if stampFrom(after) != at {
		return nil, at, fmt.Errorf("%s was written to while it was read", path)
	}
	return content, at, nil
}

// open proves content and makes a database of it. It keeps content.
func open(r role, content []byte) (*database, error) {
	raw, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, err
	}
	reader, err := geoip2.OpenBytes(content)
	if err != nil {
		return nil, wrongType(r, raw.Metadata.DatabaseType, err)
	}
	db := &database{reader: reader, maker: raw.Metadata.DatabaseType, built: raw.Metadata.BuildTime().UTC()}
	if err := db.try(r); err != nil {
		return nil, wrongType(r, raw.Metadata.DatabaseType, err)
	}
	return db, nil
}

// wrongType words the two errors that mean a good file in the wrong place.
func wrongType(r role, found string, err error) error {
	var unknown geoip2.UnknownDatabaseTypeError
	var invalid geoip2.InvalidMethodError
	if errors.As(err, &unknown) || errors.As(err, &invalid) {
		return fmt.Errorf("its type is %q: geoip.%s takes a file like %s", found, r, r.example())
	}
	return err
}

// try looks up addresses spread over both families, as Place will, and fails at the first that cannot be read; an address
// that is not in the database is no failure. The library's own Verify is not used: it refuses files that are readable (one
// without a description) and takes many seconds on a large one.
func (db *database) try(r role) error {
	const spread = 1 << 9
	for i := range spread {
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], uint32(i)<<(32-9))
		if err := db.ask(r, netip.AddrFrom4(v4)); err != nil {
			return fmt.Errorf("it is damaged: %w", err)
		}
		if db.reader.Metadata().IPVersion != 6 {
			continue
		}
		var v6 [16]byte
		binary.BigEndian.PutUint16(v6[:], 0x2000+uint16(i)<<(13-9)) // 2000::/3 is all that is routed
		if err := db.ask(r, netip.AddrFrom16(v6)); err != nil {
			return fmt.Errorf("it is damaged: %w", err)
		}
	}
	return nil
}

// ask looks addr up as Place will.
func (db *database) ask(r role, addr netip.Addr) error {
	var err error
	switch r {
	case city:
		_, err = db.reader.City(addr)
	case country:
		_, err = db.reader.Country(addr)
	default:
		_, err = db.reader.ASN(addr)
	}
	return err
}

func (db *database) city(addr netip.Addr, p *event.Place) {
	found, err := db.reader.City(addr)
	if err != nil {
		return
	}
	setCountry(p, found.Country)
	p.City = bounded(found.City.Names.English)
	if found.Location.Latitude != nil && found.Location.Longitude != nil {
		p.Lat, p.Lon = float32(*found.Location.Latitude), float32(*found.Location.Longitude)
	}
}

func (db *database) country(addr netip.Addr, p *event.Place) {
	if found, err := db.reader.Country(addr); err == nil {
		setCountry(p, found.Country)
	}
}

func (db *database) asn(addr netip.Addr, p *event.Place) {
	found, err := db.reader.ASN(addr)
	if err != nil || uint64(found.AutonomousSystemNumber) > 1<<32-1 {
		return
	}
	p.ASN = uint32(found.AutonomousSystemNumber)
	p.Org = bounded(found.AutonomousSystemOrganization)
}

// setCountry takes only what has the form of a code of ISO 3166-1 alpha-2, because the country becomes a metric's label:
// there are at most 676 of them, whatever the file says.
func setCountry(p *event.Place, c geoip2.CountryRecord) {
	if len(c.ISOCode) != 2 || !isUpper(c.ISOCode[0]) || !isUpper(c.ISOCode[1]) {
		return
	}
	p.Country = c.ISOCode
	p.CountryName = bounded(c.Names.English)
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func bounded(name string) string {
	if len(name) <= maxName {
		return name
	}
	cut := maxName
	for cut > 0 && name[cut]&0xC0 == 0x80 {
		cut--
	}
	return name[:cut]
}
