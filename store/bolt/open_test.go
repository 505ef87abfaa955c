package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/store"
	"tattled/store/storetest"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// TestDamage opens files that were cut, flipped, zeroed and mixed up. None of them hurts the process, each opens again, and
// what is wrong is found and said, or nothing is wrong with what is read.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	original := sample(t, filepath.Join(dir, "original.db"))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d bytes", seed, len(original))
	random := rand.New(rand.NewPCG(seed, 0))
	const page = 4096
	pages := len(original) / page
	type damage struct {
		name string
		do   func(b []byte) []byte
	}
	all := []damage{
		{"empty", func([]byte) []byte { return nil }},
		{"garbage", func(b []byte) []byte { fill(random, b); return b }},
		{"text", func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 2000)) }},
		{"zeros", func(b []byte) []byte { clear(b); return b }},
		{"first page", func(b []byte) []byte { clear(b[:page]); return b }},
		{"both metas", func(b []byte) []byte { clear(b[:2*page]); return b }},
		{"one byte short", func(b []byte) []byte { return b[:len(b)-1] }},
		{"one byte", func(b []byte) []byte { return b[:1] }},
		{"two pages", func(b []byte) []byte { return b[:2*page] }},
	}
	for i := range often(25, 125) {
		at := random.IntN(len(original))
		all = append(all, damage{fmt.Sprintf("cut %d at %d", i, at), func(b []byte) []byte { return b[:at] }})
	}
	for i := range often(25, 125) {
		at := random.IntN(pages) * page
		all = append(all, damage{fmt.Sprintf("zero page %d at %d", i, at), func(b []byte) []byte { clear(b[at : at+page]); return b }})
		from := random.IntN(pages) * page
		all = append(all, damage{fmt.Sprintf("copy page %d from %d to %d", i, from, at), func(b []byte) []byte {
			copy(b[at:at+page], b[from:from+page])
			return b
		}})
	}
	for i := range often(120, 616) {
		at, bit := random.IntN(len(original)), random.IntN(8)
		all = append(all, damage{fmt.Sprintf("flip %d: bit %d of %d", i, bit, at), func(b []byte) []byte { b[at] ^= 1 << bit; return b }})
	}
	before := dump(t, filepath.Join(dir, "original.db"))
	found, slowest := map[string]int{}, time.Duration(0)
	for i, d := range all {
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		broken := d.do(bytes.Clone(original))
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		what, took := reopen(t, d.name, path, broken, before)
		found[what]++
		slowest = max(slowest, took)
		removeAll(t, path)
	}
	figure(t, 14, "%d damaged files, all open, the slowest after %s; found: %v; where nothing was found, every record reads as it was written", len(all), slowest.Round(time.Millisecond), found)
	if found["nothing"] > len(all)/3 || found["damaged file"] == 0 || found["damaged records"] == 0 {
		t.Error("the damage was not where it hurts")
	}
}

// reopen opens a broken file, lives with it, and returns what was found.
func reopen(t *testing.T, name, path string, broken []byte, before map[string]string) (found string, took time.Duration) {
	t.Helper()
	began := time.Now()
	b, done, err := Open(path, Options{Now: now})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if took = time.Since(began); took > 2*time.Second {
		t.Errorf("%s: it took %s to open", name, took)
	}
	switch {
	case done.Damage != "":
		if kept, err := os.ReadFile(done.Quarantined); err != nil || !bytes.Equal(kept, broken) {
			t.Errorf("%s: the damaged file was not kept as it was: %v", name, err)
		}
		found = "damaged file"
	case done.Records > 0:
		found = "damaged records"
	case done.Meta:
		found = "damaged meta"
	default:
		found = "nothing"
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{})
	if err := c.PutNote(t.Context(), "alive", []byte("yes")); err != nil || string(s.Note("alive")) != "yes" {
		t.Errorf("%s: it opened, and can not be written to: %v", name, err)
	}
	if _, err := s.Events(0, 1<<20); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if found != "nothing" {
		return found, took
	}
	after := dump(t, path)
	delete(after, "notes nalive")
	for key, value := range before {
		if after[key] != value && !strings.HasPrefix(key, "meta counts") {
			t.Errorf("%s: nothing was found, and the record %q changed", name, key)
		}
		delete(after, key)
	}
	for key := range after {
		t.Errorf("%s: nothing was found, and there is a new record %q", name, key)
	}
	return found, took
}

// dump reads every record of a file.
func dump(t *testing.T, path string) map[string]string {
	t.Helper()
	b := mustOpen(t, path)
	defer b.Close()
	all := map[string]string{}
	err := b.View(func(tx store.ReadTx) error {
		for _, table := range store.Tables() {
			tx.Scan(table, nil, nil, false, func(k, v []byte) bool {
				all[table.String()+" "+string(k)] = string(v)
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sample is a file with something in every table but Aside, several pages deep.
func sample(t *testing.T, path string) []byte {
	t.Helper()
	s, err := store.New(mustOpen(t, path), storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	c := store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{MaxGroup: 6000})
	for _, n := range []int{0, 21000, 21005} { // more addresses than Recent keeps, so that some are folded
		var events []event.Event
		for i := range max(4200-n, 100) {
			e := storetest.Event(n + 5*i)
			e.Line = ""
			events = append(events, e)
		}
		if err := c.Submit(t.Context(), events, "log", receiver.Cursor("x")); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ended); err != nil {
			t.Fatal(err)
		}
		c = store.NewCommitter(s, storetest.Policy(), store.CommitterOptions{MaxGroup: 6000})
	}
	out := c.Outbox("abuseipdb")
	for n := range 20 {
		err := c.Do(t.Context(), func(tx *store.WriteTx) error {
			_, err := tx.AddReport(&event.Report{ID: fmt.Sprint("id", n), Destination: "abuseipdb", Addr: storetest.Event(n).Addr}, now)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	item, ok, _, err := out.Claim(t.Context(), now)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := out.Settle(t.Context(), item.ID, store.Settlement{State: store.Delivered}); err != nil {
		t.Fatal(err)
	}
	if err := c.PutScore(t.Context(), item.Report.Addr, store.Score{Value: 50, At: now}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	compact(t, path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// compact takes the free pages out of a file, so that whatever is damaged is in use.
func compact(t *testing.T, path string) {
	t.Helper()
	o := &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
	from, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	to, err := bbolt.Open(path+".dense", 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := bbolt.Compact(to, from, 0); err != nil {
		t.Fatal(err)
	}
	var size int64
	err = to.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	if err := errors.Join(err, from.Close(), to.Close(), os.Truncate(path+".dense", size)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".dense", path); err != nil {
		t.Fatal(err)
	}
}

func fill(random *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(random.Uint32())
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	all, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewerSchemaIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b := mustOpen(t, path)
	err := b.Update(func(tx store.Tx) error { return tx.Put(store.Meta, []byte(store.SchemaKey), storetest.NewerSchema()) })
	if err != nil {
		t.Fatal(err)
	}
	// a newer version may have other records as well
	if err := b.Update(func(tx store.Tx) error { return tx.Put(store.Events, []byte("x"), []byte("what it wants")) }); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Open(path, Options{Now: now})
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), fmt.Sprint("its schema is ", store.Schema+1)) {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	if all, _ := filepath.Glob(path + "*"); len(all) != 2 {
		t.Errorf("there is more than the file and its lock: %q", all)
	}
}

func TestBackupTakesThePlaceOfADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := store.New(mustOpen(t, path), storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	c := store.NewCommitter(s, nil, store.CommitterOptions{})
	note := func(text string) {
		t.Helper()
		if err := c.PutNote(t.Context(), "k", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	var names []string
	for i := range 4 {
		b := mustOpen(t, path)
		if s, err = store.New(b, storetest.Options()); err != nil {
			t.Fatal(err)
		}
		c = store.NewCommitter(s, nil, store.CommitterOptions{})
		note(fmt.Sprint("backup ", i))
		name, err := b.Backup(now.Add(time.Duration(i)*time.Hour), 3)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		note("later")
		s.Close()
	}
	if left := backups(path); len(left) != 3 || left[0].path != names[3] {
		t.Fatalf("backups %v", left)
	}
	for _, broken := range []string{path, names[3]} {
		if err := os.Truncate(broken, 2*4096); err != nil {
			t.Fatal(err)
		}
	}
	b, done, err := Open(path, Options{Now: now})
	if err != nil || done.Damage == "" || done.Backup != names[2] {
		t.Fatalf("%+v, %v", done, err)
	}
	if s, err = store.New(b, storetest.Options()); err != nil {
		t.Fatal(err)
	}
	if got := string(s.Note("k")); got != "backup 2" {
		t.Errorf("the note is %q", got)
	}
	s.Close()
}

func TestOpenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	b := mustOpen(t, path)
	for name, c := range map[string]struct {
		path, want string
	}{
		"another process":      {path, fmt.Sprintf("process %d uses it", os.Getpid())},
		"no folder":            {filepath.Join(dir, "none", "state.db"), "does not exist: create it"},
		"a folder":             {mkdir(t, filepath.Join(dir, "folder")), "not a regular file"},
		"no folder but a file": {filepath.Join(path, "state.db"), "not a directory"},
	} {
		if _, _, err := Open(c.path, Options{Now: now}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a creation that was cut off left behind does not matter.
func TestCreationCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path+newSuffix, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, done, err := Open(path, Options{Now: now})
	if err != nil || !done.Created {
		t.Fatal(done, err)
	}
	b.Close()
	mustOpen(t, path).Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

// A file that may not grow goes on taking what is new: history makes way, then reports that nobody sends.
func TestMaxSize(t *testing.T) {
	for name, p := range map[string]*policy.Policy{"events": nil, "events and reports that nobody sends": storetest.Policy()} {
		t.Run(name, func(t *testing.T) {
			stats, size := flood(t, p)
			t.Logf("%d events are kept, the file has %d bytes, %+v", stats.Events, size, stats.Usage)
			if size > floodSize+allocSize || stats.LastSeq != floodEvents || stats.Evicted["events"] == 0 {
				t.Errorf("the file has %d bytes, stats %+v", size, stats)
			}
			if p == nil && stats.Events < 2000 {
				t.Errorf("only %d events are left", stats.Events)
			}
			if p != nil && stats.Items["abuseipdb"][store.Pending] < 500 {
				t.Errorf("only %v is left of the outbox", stats.Items)
			}
		})
	}
}

const (
	floodSize   = 8 << 20
	floodEvents = 40000
)

// flood writes more than fits.
func flood(t *testing.T, p *policy.Policy) (store.Stats, int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	b, _, err := Open(path, Options{MaxSize: floodSize})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(b, storetest.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := store.NewCommitter(s, p, store.CommitterOptions{Linger: time.Microsecond, MaxGroup: 500})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	for n := 0; n < floodEvents; n += 100 {
		var batch []event.Event
		for i := range 100 {
			e := storetest.Event(n + i)
			e.Line = strings.Repeat("x", 500)
			batch = append(batch, e)
		}
		if err := c.Submit(t.Context(), batch, "log", nil); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return s.Stats(), info.Size()
}
