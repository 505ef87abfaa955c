package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
	"unicode/utf8"
)

// Schema is the version of what lies in the tables. A store of a newer one is refused, one of an older one is read, and is of this
// one from then on. In version 1 each event had a record of its own, and Meta did not have their number; up to version 2 the items in Due
// had no rank.
const Schema = 3

// SchemaKey is where Meta has the schema's record. Its form is the same for ever: sealed, 4 bytes big endian.
const SchemaKey = "schema"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealSize is how many bytes a seal takes.
const sealSize = 4

// seal appends to b the record of payload: a CRC-32C over table, key and payload, and the payload.
func seal(b []byte, t Table, key, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, checksum(t, key, payload))
	return append(b, payload...)
}

func checksum(t Table, key, payload []byte) uint32 {
	head := [3]byte{byte(t), byte(len(key) >> 8), byte(len(key))}
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

// unseal returns the payload of a record, a part of it. ok is false if it is not what was written there.
func unseal(t Table, key, record []byte) (payload []byte, ok bool) {
	if len(record) < sealSize {
		return nil, false
	}
	payload = record[sealSize:]
	return payload, binary.BigEndian.Uint32(record) == checksum(t, key, payload)
}

// Verify reports whether a record is what was written under that key of that table. Records of Quarantine are known not to be,
// and pass.
func Verify(t Table, key, record []byte) bool {
	_, ok := unseal(t, key, record)
	return ok || t == Quarantine
}

// CheckSchema looks at the record under SchemaKey. It returns an error that is ErrNewer for a schema that this program
// does not know, and one that is ErrDamaged if the record is none.
func CheckSchema(record []byte) error {
	payload, ok := unseal(Meta, []byte(SchemaKey), record)
	if !ok || len(payload) != 4 {
		return fmt.Errorf("read schema: %w", ErrDamaged)
	}
	if v := binary.BigEndian.Uint32(payload); v > Schema {
		return fmt.Errorf("%w: its schema is %d, this program knows %d. Install the newer version again, or set store.path to a new file", ErrNewer, v, Schema)
	}
	return nil
}

// SealSchema is the record under SchemaKey for a version.
func SealSchema(version uint32) []byte {
	return seal(nil, Meta, []byte(SchemaKey), binary.BigEndian.AppendUint32(nil, version))
}

func appendText(b []byte, s string, limit int) []byte {
	s = cut(s, limit)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// cut shortens s to limit bytes, on a UTF-8 boundary where there is one near.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for i := limit; i > limit-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:limit]
}

// appendTime writes seconds and nanoseconds, because nanoseconds alone do not reach all years. The zone is lost.
func appendTime(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// decoder reads what the functions above wrote. After the first fault it is bad and gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

// done reports whether all was read and nothing was wrong.
func (d *decoder) done() bool { return !d.bad && len(d.b) == 0 }

func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return make([]byte, min(n, 16))
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) byte() byte { return d.bytes(1)[0] }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things follow: at most limit, and never more than bytes are left.
func (d *decoder) count(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) || n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

// number reads what fits into limit.
func (d *decoder) number(limit uint64) uint64 {
	n := d.uvarint()
	if n > limit {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) text(limit int) string {
	n := d.count(limit)
	if n == 0 {
		return ""
	}
	return string(d.bytes(n))
}

func (d *decoder) time() time.Time {
	sec, nsec := d.varint(), d.number(999999999)
	if d.bad {
		return time.Time{}
	}
	return plainTime(sec, int64(nsec))
}

// The seconds of the first and the last time that leaves the store: the zero time and the beginning of 9999-12-31. What
// lies outside, JSON can not write, in one zone or another.
const (
	firstSecond = -62135596800
	lastSecond  = 253402214400
)

// plainTime is a moment that everybody can write down, in UTC. An earlier or later one, which a damaged clock or an older
// version may have left, becomes the first or the last.
func plainTime(sec, nsec int64) time.Time {
	switch {
	case sec < firstSecond:
		return time.Time{}
	case sec >= lastSecond:
		return time.Unix(lastSecond, 0).UTC()
	}
	return time.Unix(sec, nsec).UTC()
}

// plainMilli is plainTime of milliseconds since 1970.
func plainMilli(ms int64) time.Time { return plainTime(ms/1000, ms%1000*1e6) }

// Keys of records that are in the order of a number.
func key64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func seqOf(key []byte) (uint64, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

// orderedTime is t as a number whose order is that of time, in nanoseconds since 1970; times before are 0, times after
// 2262 the highest.
func orderedTime(t time.Time) uint64 {
	if t.Unix() < 0 {
		return 0
	}
	if t.Year() > 2261 {
		return 1<<63 - 1
	}
	return uint64(t.UnixNano())
}
