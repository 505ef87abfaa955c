package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	"tattled/store"
)

// The form of a bbolt file, version 2 (go.etcd.io/bbolt v1.5.0, internal/common): pages of one size; a page begins with
// its number (8 bytes), its sort (2), how many elements it has (2) and how many pages more it takes (4). Numbers are in
// the byte order of the machine.
const (
	pageHeader = 16
	element    = 16 // of a branch or of a leaf
	metaSize   = 64
	bucketHead = 16

	sortBranch   = 0x01
	sortLeaf     = 0x02
	sortMeta     = 0x04
	sortFreelist = 0x10

	magic      = 0xED0CDAED
	version    = 2
	noFreelist = 1<<64 - 1
	maxDepth   = 32
)

var native = binary.NativeEndian

// damage is an error that says what is wrong with the file.
func damage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", store.ErrDamaged, fmt.Sprintf(format, args...))
}

// check is one reading of a file.
type check struct {
	file  io.ReaderAt
	size  int64
	page  int64 // size of a page
	pages uint64
	seen  []uint64 // a bit for each page that is in use
	audit store.Audit
	metas int // sound meta pages: 2, or 1 where the last transaction was cut off or a meta page is damaged
	depth int
	bufs  [maxDepth + 1][]byte
}

// meta is what a meta page says.
type meta struct {
	page                       uint32
	root, freelist, pages, txn uint64
}

// checkFile reads all of a bbolt file that is in use, through ReadAt, so that nothing of it can hurt the process. It
// returns an error that is store.ErrDamaged if the structure of the file is not sound, and what the audit says otherwise.
func checkFile(file io.ReaderAt, size int64) (*check, error) {
	c := &check{file: file, size: size}
	m, err := c.meta()
	if err != nil {
		return c, err
	}
	c.page, c.pages = int64(m.page), m.pages
	if c.pages < 4 || c.pages > uint64(size/c.page) { // bbolt lets the file grow before it uses a page
		return c, damage("it has %d pages and should have %d: it was cut off", size/c.page, c.pages)
	}
	c.seen = make([]uint64, c.pages/64+1)
	if err := c.use(0, 2); err != nil {
		return c, err
	}
	buckets := map[string]uint64{}
	var inline []inlineBucket
	err = c.tree(m.root, keyRange{}, func(key, value []byte, isBucket bool) error {
		if !isBucket {
			return damage("there is a record outside of all tables")
		}
		root, page, err := bucket(value)
		if err != nil {
			return err
		}
		if root == 0 {
			inline = append(inline, inlineBucket{string(key), append([]byte(nil), page...)})
		} else {
			buckets[string(key)] = root
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	if err := c.tables(buckets, inline); err != nil {
		return c, err
	}
	if m.freelist != noFreelist {
		if err := c.freelist(m.freelist); err != nil {
			return c, err
		}
	}
	return c, c.audit.Verdict()
}

// inlineBucket is a table so small that it lies within its bucket's record.
type inlineBucket struct {
	name string
	page []byte
}

// tables reads every table, Meta first.
func (c *check) tables(buckets map[string]uint64, inline []inlineBucket) error {
	for _, t := range store.Tables() {
		record := func(key, value []byte, isBucket bool) error {
			if isBucket {
				return damage("there is a table within a table")
			}
			return c.audit.Record(t, key, value)
		}
		if root, ok := buckets[t.String()]; ok {
			if err := c.tree(root, keyRange{}, record); err != nil {
				return err
			}
			delete(buckets, t.String())
			continue
		}
		found := false
		for _, b := range inline {
			if b.name != t.String() {
				continue
			}
			found = true
			if err := c.leaf(b.page, 0, keyRange{}, record); err != nil {
				return err
			}
		}
		if !found {
			return damage("the table %s is missing", t)
		}
	}
	for name := range buckets {
		return damage("there is an unknown table %q", name)
	}
	return nil
}

// meta finds the meta page that bbolt will go by: of the first two pages the newer one whose checksum holds. It must be the
// same one, or what is checked here is not what bbolt reads there. The size of a page stands in them; where the first is
// not sound, bbolt looks for the second one at every size that there is.
func (c *check) meta() (meta, error) {
	first, firstSound, firstWhole := c.metaAt(0, 0)
	page := int64(first.page)
	for at := int64(1024); !firstSound && at <= 1<<24 && at < c.size-1024; at *= 2 {
		if second, sound, _ := c.metaAt(at, 1); sound {
			page = at
			if int64(second.page) != at {
				return meta{}, damage("its second meta page is not where it says")
			}
			break
		}
	}
	if page < 1024 || page > 1<<16 || page&(page-1) != 0 {
		return meta{}, damage("neither of its two meta pages is intact")
	}
	second, secondSound, secondWhole := c.metaAt(page, 1)
	for _, whole := range []bool{firstWhole, secondWhole} {
		if whole {
			c.metas++
		}
	}
	best := first
	if !firstSound || secondSound && second.txn > first.txn {
		best = second
	}
	if !firstSound && !secondSound || int64(best.page) != page {
		return meta{}, damage("neither of its two meta pages is intact")
	}
	return best, nil
}

// metaAt reads a meta page. It is sound if bbolt takes it, whole if its header is right as well.
func (c *check) metaAt(at int64, id uint64) (m meta, sound, whole bool) {
	buf := make([]byte, pageHeader+metaSize)
	if _, err := c.file.ReadAt(buf, at); err != nil {
		return meta{}, false, false
	}
	b := buf[pageHeader:]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m = meta{
		page: native.Uint32(b[8:]), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]), pages: native.Uint64(b[40:]),
		txn: native.Uint64(b[48:]),
	}
	sound = native.Uint32(b) == magic && native.Uint32(b[4:]) == version && native.Uint64(b[metaSize-8:]) == sum.Sum64()
	return m, sound, sound && native.Uint64(buf) == id && native.Uint16(buf[8:]) == sortMeta
}

// use marks n pages from id on as being in use. No page is used twice.
func (c *check) use(id, n uint64) error {
	if id >= c.pages || n > c.pages-id {
		return damage("page %d is beyond the end of the file", id)
	}
	for ; n > 0; n, id = n-1, id+1 {
		if c.seen[id/64]&(1<<(id%64)) != 0 {
			return damage("page %d is used twice", id)
		}
		c.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

// read reads a page with what overflows from it. The buffer is good until the next page of the same depth is read.
func (c *check) read(id uint64) ([]byte, error) {
	if err := c.use(id, 1); err != nil {
		return nil, err
	}
	buf := c.bufs[c.depth]
	if int64(len(buf)) < c.page {
		buf = make([]byte, c.page)
	}
	if err := c.readAt(buf[:c.page], id); err != nil {
		return nil, err
	}
	more := uint64(native.Uint32(buf[12:]))
	if native.Uint64(buf) != id {
		return nil, damage("page %d says it is page %d", id, native.Uint64(buf))
	}
	if more > 0 {
		if err := c.use(id+1, more); err != nil {
			return nil, err
		}
		if whole := int64(more+1) * c.page; int64(len(buf)) < whole {
			buf = append(make([]byte, 0, whole), buf[:c.page]...)[:whole]
		}
		if err := c.readAt(buf[c.page:int64(more+1)*c.page], id+1); err != nil {
			return nil, err
		}
	}
	c.bufs[c.depth] = buf
	return buf[:int64(more+1)*c.page], nil
}

func (c *check) readAt(buf []byte, id uint64) error {
	if _, err := c.file.ReadAt(buf, int64(id)*c.page); err != nil {
		return damage("page %d cannot be read: %v", id, err)
	}
	return nil
}

// keyRange bounds the keys of a page: from <= key < to. nil is no bound.
type keyRange struct{ from, to []byte }

func (r keyRange) holds(key []byte) bool {
	return (r.from == nil || string(key) >= string(r.from)) && (r.to == nil || string(key) < string(r.to))
}

// tree reads the tree under a page.
func (c *check) tree(id uint64, keys keyRange, record func(key, value []byte, isBucket bool) error) error {
	if c.depth >= maxDepth {
		return damage("the tree under page %d has no end", id)
	}
	page, err := c.read(id)
	if err != nil {
		return err
	}
	switch native.Uint16(page[8:]) {
	case sortLeaf:
		return c.leaf(page, id, keys, record)
	case sortBranch:
		c.depth++
		defer func() { c.depth-- }()
		return c.branch(page, id, keys, record)
	}
	return damage("page %d is of sort %#x", id, native.Uint16(page[8:]))
}

// branch reads the trees below a branch page. Each element has the first key of its tree.
func (c *check) branch(page []byte, id uint64, keys keyRange, record func(key, value []byte, isBucket bool) error) error {
	n, end := int(native.Uint16(page[10:])), 0
	if n == 0 || pageHeader+n*element > len(page) {
		return damage("branch page %d has %d elements", id, n)
	}
	key := func(i int) []byte {
		at := pageHeader + i*element
		from := at + int(native.Uint32(page[at:]))
		to := from + int(native.Uint32(page[at+4:]))
		if from < pageHeader+n*element || from > to || to > len(page) {
			return nil
		}
		end = max(end, to)
		return page[from:to]
	}
	for i := range n {
		k := key(i)
		below := keyRange{k, keys.to}
		if i+1 < n {
			below.to = key(i + 1)
		}
		if len(k) == 0 || !keys.holds(k) || i+1 < n && string(below.to) <= string(k) {
			return damage("the keys of branch page %d are not in order", id)
		}
		if err := c.tree(native.Uint64(page[pageHeader+i*element+8:]), below, record); err != nil {
			return err
		}
	}
	return c.fits(page, id, end)
}

// leaf reads the records of a leaf page.
func (c *check) leaf(page []byte, id uint64, keys keyRange, record func(key, value []byte, isBucket bool) error) error {
	if len(page) < pageHeader || native.Uint16(page[8:]) != sortLeaf || native.Uint64(page) != id {
		return damage("leaf page %d is not one", id)
	}
	n, end := int(native.Uint16(page[10:])), pageHeader
	if pageHeader+n*element > len(page) {
		return damage("leaf page %d has %d elements", id, n)
	}
	var last []byte
	for i := range n {
		at := pageHeader + i*element
		flags, from := native.Uint32(page[at:]), at+int(native.Uint32(page[at+4:]))
		mid := from + int(native.Uint32(page[at+8:]))
		to := mid + int(native.Uint32(page[at+12:]))
		if flags > 1 || from < pageHeader+n*element || mid < from || to < mid || to > len(page) {
			return damage("element %d of leaf page %d is outside of it", i, id)
		}
		key := page[from:mid]
		if len(key) == 0 || !keys.holds(key) || i > 0 && string(key) <= string(last) {
			return damage("the keys of leaf page %d are not in order", id)
		}
		if err := record(key, page[mid:to], flags == 1); err != nil {
			return err
		}
		last, end = key, max(end, to)
	}
	return c.fits(page, id, end)
}

// fits demands that a page takes just as many pages as it needs. Page 0 stands for one that lies within a record.
func (c *check) fits(page []byte, id uint64, end int) error {
	needs := (int64(end) + c.page - 1) / c.page * c.page
	if id == 0 {
		needs = int64(end)
	}
	if needs != int64(len(page)) || id == 0 && native.Uint32(page[12:]) != 0 {
		return damage("page %d takes %d bytes for %d", id, len(page), end)
	}
	return nil
}

// bucket takes a bucket's record apart: the root of its tree, or the page that lies within.
func bucket(value []byte) (root uint64, page []byte, err error) {
	if len(value) < bucketHead || native.Uint64(value[8:]) != 0 { // no table uses the sequence
		return 0, nil, damage("the record of a table is invalid")
	}
	return native.Uint64(value), value[bucketHead:], nil
}

// freelist reads the list of free pages, which another program (bbolt's own) may have left: it must name only pages that
// are not in use.
func (c *check) freelist(id uint64) error {
	page, err := c.read(id)
	if err != nil {
		return err
	}
	ids := page[pageHeader:]
	n := uint64(native.Uint16(page[10:]))
	if native.Uint16(page[8:]) != sortFreelist {
		return damage("the list of free pages is invalid")
	}
	if n == 0xFFFF {
		n, ids = native.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return damage("the list of free pages is cut off")
	}
	for i := range n {
		free := native.Uint64(ids[8*i:])
		if free < 2 || free >= c.pages {
			return damage("page %d is free and does not exist", free)
		}
		if c.seen[free/64]&(1<<(free%64)) != 0 {
			return damage("page %d is free and in use", free)
		}
	}
	return nil
}
