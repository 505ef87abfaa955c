package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/store"
	"tattled/store/storetest"
)

const window = 24 * time.Hour

// attackers is a log in which addresses fail three times each, one after another, and so are reported.
type attackers struct {
	began time.Time
	told  map[netip.Addr]int // reports to third parties

	alerts int
}

func (a *attackers) event(n int, at time.Time) event.Event {
	e := storetest.Event(0)
	e.Addr = netip.AddrFrom4([4]byte{45, 10, byte(n >> 8), byte(n)})
	e.Time, e.Received = at, time.Now()
	return e
}

// read reads the log on from where the store was left, and returns the committer's store closed by nobody.
func (a *attackers) read(t *testing.T, s *store.Store, upTo int, more ...event.Event) {
	t.Helper()
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{
		MaxGroup: 1 << 20, Hold: map[string]time.Duration{"abuseipdb": window},
		OnCommit: func(_ []event.Event, due []event.Report) {
			for _, r := range due {
				if r.Destination == "abuseipdb" {
					a.told[r.Addr]++
				} else {
					a.alerts++
				}
			}
		},
	})
	from, _ := strconv.Atoi(string(s.Position("log")))
	var events []event.Event
	for n := from; n < upTo; n++ {
		events = append(events, a.event(n/3, a.began.Add(time.Duration(n)*time.Second)))
	}
	if err := c.Submit(t.Context(), append(events, more...), "log", receiver.Cursor(strconv.Itoa(upTo))); err != nil {
		t.Fatal(err)
	}
	runOnce(t, c)
	out := c.Outbox("abuseipdb")
	for {
		item, ok, _, err := out.Claim(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
}

// runOnce commits what waits.
func runOnce(t *testing.T, c *store.Committer) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ended); err != nil {
		t.Fatal(err)
	}
}

func openStore(t *testing.T, path string) (*Backend, *store.Store, Opened) {
	t.Helper()
	b, done, err := Open(path, Options{Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	b.db.NoSync = true // no power is cut here, and thousands of reports are settled
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	return b, s, done
}

// A damaged file is replaced by a backup that is a day old, and the log of that day may be read again. Nobody who was
// reported is reported again, by the old lines or by new ones, whatever of the file is lost; who comes for the first time
// is reported at once.
func TestRestoreReportsNobodyTwice(t *testing.T) {
	const n = 3 * 1000
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	a := &attackers{began: time.Now().Add(-10 * time.Hour), told: map[netip.Addr]int{}}
	b, s, _ := openStore(t, path)
	a.read(t, s, n/10)
	if _, err := b.Backup(time.Now(), 2); err != nil {
		t.Fatal(err)
	}
	for part := 2; part <= 10; part++ {
		a.read(t, s, n/10*part)
	}
	if len(a.told) != n/3 {
		t.Fatalf("%d of %d were reported", len(a.told), n/3)
	}
	s.Close()
	compact(t, path)
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	saved := mustRead(t, backups(path)[0].path)
	name := filepath.Base(backups(path)[0].path)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d bytes", seed, len(original))
	random := rand.New(rand.NewPCG(seed, 0))
	pages := len(original) / 4096
	damage := map[string]func(b []byte) []byte{
		"nothing left":   func([]byte) []byte { return []byte("x") },
		"half is left":   func(b []byte) []byte { return b[:len(b)/2] },
		"metas":          func(b []byte) []byte { clear(b[:2*4096]); return b },
		"no file at all": nil,
		"every tenth page": func(b []byte) []byte {
			for at := 2 + random.IntN(10); at < pages; at += 10 {
				clear(b[at*4096 : (at+1)*4096])
			}
			return b
		},
	}
	for i := range 12 {
		damage[fmt.Sprint("a page ", i)] = func(b []byte) []byte {
			at := (2 + random.IntN(pages-2)) * 4096
			fill(random, b[at:at+4096])
			return b
		}
	}
	for what, do := range damage {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			write(t, path+strings.TrimPrefix(name, "state.db"), saved)
			if do != nil {
				write(t, path, do(bytes.Clone(original)))
			}
			again := &attackers{began: a.began, told: map[netip.Addr]int{}}
			_, s, done := openStore(t, path)
			if done.Damage == "" {
				s.Close()
				return // a page that is not in use
			}
			if done.Backup == "" || done.Unread != nil {
				t.Errorf("%+v", done)
			}
			var fresh []event.Event
			for i := range n / 3 { // each of them goes on
				for range 3 {
					fresh = append(fresh, again.event(i, time.Now().Add(time.Second)))
				}
			}
			again.read(t, s, n, fresh...)
			if len(again.told) > 0 {
				t.Errorf("%d are reported a second time; %+v", len(again.told), done.Salvaged)
			}
			for range 3 {
				again.read(t, s, n, again.event(60000, time.Now().Add(time.Second)))
			}
			if len(again.told) != 1 {
				t.Error("somebody new is not reported")
			}
			if r := s.Restored(); time.Since(r.At) > time.Minute || r.UpTo.After(r.At) {
				t.Errorf("restored %+v", r)
			}
			t.Logf("%+v, held %d", done.Salvaged, s.Stats().Held)
			s.Close()
			checkSound(t, path)
		})
	}
}

// checkSound opens a file once more: nothing of what was done to it is damage.
func checkSound(t *testing.T, path string) {
	t.Helper()
	b, done, err := Open(path, Options{Now: now})
	if err != nil || done.Damage != "" || done.Records > 0 {
		t.Errorf("what took its place is not sound: %+v, %v", done, err)
		return
	}
	b.Close()
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func note(t *testing.T, b *Backend, text string) *store.Store {
	t.Helper()
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.NewCommitter(s, nil, store.CommitterOptions{}).PutNote(t.Context(), "k", []byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

// A clock that was ahead named a backup of the future. The ones that are made later are newer all the same: they stay, and
// one of them is what is restored.
func TestBackupsAreInTheOrderOfTheirMaking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := mustOpen(t, path)
	for i, at := range []time.Time{now, now.AddDate(10, 0, 0), now.AddDate(10, 0, 1), now.Add(time.Hour), now.Add(2 * time.Hour)} {
		s := note(t, b, fmt.Sprint("state ", i))
		name, err := b.Backup(at, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(name); err != nil {
			t.Errorf("backup %d is gone as soon as it is made", i)
		}
		s.Close()
		b = mustOpen(t, path)
	}
	b.Close()
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	b, done, err := Open(path, Options{Now: now})
	if err != nil || done.Damage == "" {
		t.Fatal(done, err)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := string(s.Note("k")); got != "state 4" {
		t.Errorf("%q was restored, want the last one", got)
	}
}

// The backups of an older version have no number, only a time that may be wrong; what lies in them says which is newer.
func TestBackupsWithoutANumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for i, at := range []time.Time{now.AddDate(10, 0, 0), now} {
		s := note(t, mustOpen(t, path), fmt.Sprint("state ", i))
		s.Close()
		write(t, path+".backup-"+at.Format("20060102T150405.000Z"), mustRead(t, path))
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	_, s, _ := openStore(t, path)
	if got := string(s.Note("k")); got != "state 1" {
		t.Errorf("%q was restored, want the last one", got)
	}
	s.Close()
	b := mustOpen(t, path)
	defer b.Close()
	name, err := b.Backup(now, 2)
	if left := backups(path); err != nil || len(left) != 2 || left[0].path != name {
		t.Errorf("backups %v, %v", left, err)
	}
}

// After a restoration, an event from before it that anybody may have forged makes nobody an address that was seen before:
// else an attacker could keep himself from being reported with one datagram.
func TestForgedEventsHoldNothingBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b, s, _ := openStore(t, path)
	if _, err := b.Backup(time.Now(), 2); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, s, _ = openStore(t, path)
	defer s.Close()
	a := &attackers{told: map[netip.Addr]int{}}
	old := s.Restored().UpTo.Add(-time.Hour)
	forged, seen := a.event(1, old), a.event(2, old)
	forged.Trust = event.TrustCount
	events := []event.Event{forged, forged, seen}
	for range 3 {
		events = append(events, a.event(1, time.Now()), a.event(2, time.Now()))
	}
	for i := range events {
		events[i].Received = time.Now()
	}
	a.read(t, s, 0, events...)
	if a.told[forged.Addr] != 1 || a.told[seen.Addr] != 0 {
		t.Errorf("told %v: want one report, of %s", a.told, forged.Addr)
	}
}

// A file that is gone while its backups are there was not removed by anybody who wanted to start afresh.
func TestMissingFileIsRestored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := mustOpen(t, path)
	s := note(t, b, "kept")
	name, err := b.Backup(now, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	b, done, err := Open(path, Options{Now: now})
	if err != nil || done.Created || done.Damage == "" || done.Backup != name {
		t.Fatalf("%+v, %v", done, err)
	}
	if s, err = store.New(b, storetest.Options()); err != nil || string(s.Note("k")) != "kept" {
		t.Errorf("the note is %q, %v", s.Note("k"), err)
	}
	s.Close()
	removeAll(t, path) // with its backups: this is how to start afresh
	if b, done, err = Open(path, Options{Now: now}); err != nil || !done.Created || done.Damage != "" {
		t.Fatalf("%+v, %v", done, err)
	}
	b.Close()
}

// A backup leaves room on the disk, or is not made.
func TestBackupLeavesRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := mustOpen(t, path)
	defer b.Close()
	write(t, path+backupTemp, []byte("left by a backup that was cut off"))
	size := b.Usage().Size
	for free, want := range map[int64]bool{0: false, size: false, size + backupReserve - 1: false, size + backupReserve: true} {
		b.free = func(dir string) (int64, error) {
			if dir != filepath.Dir(path) {
				t.Errorf("looked at %s", dir)
			}
			return free, nil
		}
		name, err := b.Backup(now, 2)
		if want != (err == nil) || !want && (!errors.Is(err, store.ErrFull) || len(backups(path)) > 0) {
			t.Errorf("%d bytes free: %q, %v", free, name, err)
		}
		if want {
			os.Remove(name)
		}
		if _, err := os.Stat(path + backupTemp); err == nil {
			t.Error("half a backup takes space")
		}
	}
	if free, err := freeSpace(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d bytes are free here: %v", free, err)
	}
}

// Restarts on a full disk take no more space each time, and damage again and again does not fill it.
func TestDamagedFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	mustOpen(t, path).Close()
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path+newSuffix, "in the way"), 0o700); err != nil { // as if there were no space
		t.Fatal(err)
	}
	for i := range 5 {
		if b, _, err := Open(path, Options{Now: now.Add(time.Duration(i) * time.Minute)}); err == nil {
			b.Close()
			t.Fatal("it opened, and was to fail")
		}
	}
	if bad := badFiles(path); len(bad) != 1 {
		t.Errorf("after five starts that failed there are %d names: %q", len(bad), bad)
	}
	if err := os.RemoveAll(path + newSuffix); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if err := os.Truncate(path, 5000); err != nil {
			t.Fatal(err)
		}
		b, done, err := Open(path, Options{Now: now.Add(time.Duration(60+i) * time.Minute)})
		if err != nil || done.Damage == "" {
			t.Fatal(done, err)
		}
		b.Close()
		if bad := badFiles(path); len(bad) > keptBad || bad[0] != done.Quarantined {
			t.Errorf("damaged files %q, the last one is %s", bad, done.Quarantined)
		}
	}
}

// No space for a copy of the backup: older damaged files make way, and then the backup itself takes the place.
func TestRestoreOnAFullDisk(t *testing.T) {
	if os.Getenv("BOLT_SMALL_FILES") == "" { // by itself: the limit holds for a whole process, the log of the test run too
		child := exec.Command(os.Args[0], "-test.run=^TestRestoreOnAFullDisk$")
		child.Env = append(os.Environ(), "BOLT_SMALL_FILES=1")
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "state.db")
	b := mustOpen(t, path)
	s := note(t, b, "kept")
	for c := 0; b.Usage().Size < 6<<20; c++ {
		if err := b.Update(func(tx store.Tx) error {
			return tx.Put(store.Quarantine, fmt.Appendf(nil, "%d", c), bytes.Repeat([]byte("x"), 1<<20))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Update(func(tx store.Tx) error { return tx.Delete(store.Meta, []byte(store.CountsKey)) }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Backup(now, 2); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	write(t, path+badSuffix+"20200101T000000.000Z", []byte("old"))
	limitFileSize(t, 1<<20) // no file may be larger: as if there were no space
	b, done, err := Open(path, Options{Now: now})
	if err != nil || done.Unread == nil || len(done.Removed) != 1 || len(backups(path)) != 0 {
		t.Fatalf("%+v, %v, backups %v", done, err, backups(path))
	}
	if s, err = store.New(b, storetest.Options()); err != nil || string(s.Note("k")) != "kept" {
		t.Errorf("the note is %q, %v", s.Note("k"), err)
	}
	s.Close()
}

// limitFileSize lets writes beyond a size fail with EFBIG, which counts as no space, for the rest of the test.
func limitFileSize(t *testing.T, size uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	})
}

// A record that fails its checksum is put aside, and the file goes on. The address whose windows were in it may have been
// reported: it is not reported again within its window, and is alerted on.
func TestDamagedRecordsReportNobodyTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	a := &attackers{began: time.Now().Add(-10 * time.Hour), told: map[netip.Addr]int{}}
	_, s, _ := openStore(t, path)
	const n = 3 * 5000 // more than Recent keeps, so that both tables have some
	a.read(t, s, 3*4700)
	a.read(t, s, n-3)
	a.read(t, s, n)
	s.Close()
	compact(t, path)
	content := mustRead(t, path)
	flipped := 0
	for _, addr := range []int{0, 50, 4999, 4800} { // flip the destination in the window of each
		key := netip.AddrFrom4([4]byte{45, 10, byte(addr >> 8), byte(addr)}).As16()
		for at := 0; ; at++ {
			i := bytes.Index(content[at:], key[:])
			if i < 0 {
				break
			}
			at += i
			if j := bytes.Index(content[at:min(at+200, len(content))], []byte("abuseipdb")); j >= 0 {
				content[at+j] ^= 1
				flipped++
			}
		}
	}
	write(t, path, content)
	_, s, done := openStore(t, path)
	defer s.Close()
	if done.Damage != "" || done.Records < 2 || flipped < 4 {
		t.Fatalf("%d flipped, %+v", flipped, done)
	}
	again := &attackers{began: a.began, told: map[netip.Addr]int{}}
	var fresh []event.Event
	for i := range n / 3 {
		for range 5 {
			fresh = append(fresh, again.event(i, time.Now()))
		}
	}
	again.read(t, s, n, fresh...)
	if held := s.Stats().Held; len(again.told) > 0 || held == 0 || held > 200 {
		t.Errorf("%d are reported a second time, %d were held back", len(again.told), held)
	}
	if again.alerts != n/3 {
		t.Errorf("%d of %d are alerted on", again.alerts, n/3)
	}
}
