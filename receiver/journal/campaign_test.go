package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tattled/receiver/receivertest"
)

// campaign is a journal that is written to, rotated, vacuumed and left half written, and a reader that dies again and again.
type campaign struct {
	t     *testing.T
	dir   string
	files []*journalFile
	sent  int // entries that are in the journal for sure, numbered
	s     *sink
	r     *Receiver
	pid   atomic.Int64
	stop  func()
	gaps  uint64
}

func (c *campaign) start() {
	c.r = viaHelper(c.t, c.dir)
	c.r.started = func(pid int) { c.pid.Store(int64(pid)) }
	c.stop = run(c.t, c.r, c.s)
}

func (c *campaign) restart() {
	c.stop()
	c.gaps += c.r.Meter().Gaps.Load()
	c.start()
}

func (c *campaign) rotate() {
	file := newJournalFile(c.t, filepath.Join(c.dir, fmt.Sprintf("part%04d.journal", len(c.files))))
	if n := len(c.files); n > 0 {
		last := c.files[n-1]
		last.close()
		file.at = last.at.Add(time.Duration(last.n+1) * time.Millisecond)
	}
	c.files = append(c.files, file)
}

func (c *campaign) write(n int) {
	c.files[len(c.files)-1].add(numbered(c.sent, n)...)
	c.sent += n
}

// crash kills the journal's writer while it writes. What is in the file then counts.
func (c *campaign) crash(n int) {
	file := c.files[len(c.files)-1]
	before := c.sent
	c.write(n)
	file.once.Do(func() {
		_ = file.cmd.Process.Kill() // it runs
		_ = file.in.Close()
		_ = file.cmd.Wait() // it was killed
	})
	out, _ := exec.Command("journalctl", "--quiet", "--file", file.path, "--output=cat", "--no-pager").Output()
	lines := strings.Fields(strings.ReplaceAll(string(out), "message ", ""))
	c.sent = before
	if len(lines) > 0 {
		var last int
		if _, err := fmt.Sscan(lines[len(lines)-1], &last); err != nil {
			c.t.Fatal(err)
		}
		c.sent = max(c.sent, last+1)
	}
	c.rotate()
}

func (c *campaign) caughtUp() {
	c.t.Helper()
	await(c.t, func() bool { return c.s.count() >= c.sent }, fmt.Sprintf("%d entries", c.sent))
}

// vacuum removes all files but the last two, which are all read.
func (c *campaign) vacuum() {
	for _, file := range c.files[:max(0, len(c.files)-2)] {
		if err := os.Remove(file.path); err != nil && !os.IsNotExist(err) {
			c.t.Fatal(err)
		}
	}
}

// The reader is killed by SIGKILL, and started anew from its committed position, while the journal grows, is rotated and
// vacuumed, and its writer is killed as it writes: no entry is lost, none comes twice.
func TestCampaign(t *testing.T) {
	t.Parallel()
	kills := receivertest.Size(20, 200)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 8))
	c := &campaign{t: t, dir: t.TempDir(), s: &sink{}}
	c.rotate()
	c.write(10)
	awaitFile(t, c.files[0].path)
	c.start()
	crashes, rotations, vacuums, restarts := 0, 0, 0, 0
	for i := range kills {
		c.write(1 + r.IntN(400))
		if r.IntN(2) == 0 {
			at := c.s.count() + r.IntN(100)
			await(t, func() bool { return c.s.count() >= min(at, c.sent) }, "some entries")
		}
		if pid := c.pid.Load(); pid > 0 {
			_ = syscall.Kill(int(pid), syscall.SIGKILL) // it may be dead already
		}
		switch i % 10 {
		case 2, 6:
			c.rotate()
			rotations++
		case 4:
			c.restart()
			restarts++
		case 7:
			c.caughtUp()
			c.crash(200)
			crashes++
		case 9:
			c.caughtUp()
			c.vacuum()
			vacuums++
		}
	}
	c.write(10)
	c.caughtUp()
	c.stop()
	c.gaps += c.r.Meter().Gaps.Load()
	counts := make([]int, c.sent)
	for _, m := range c.s.messages() {
		var n int
		if _, err := fmt.Sscanf(m, "message %d", &n); err != nil || n >= c.sent {
			t.Fatalf("an entry that nobody wrote: %q", m)
		}
		counts[n]++
	}
	lost, twice := 0, 0
	for _, n := range counts {
		if n == 0 {
			lost++
		}
		twice += max(0, n-1)
	}
	t.Logf("figure: row 8: %d kills of the reader, %d restarts, %d rotations, %d vacuums, %d kills of the writer: of %d entries %d lost, %d twice; %d gaps counted",
		kills, restarts, rotations, vacuums, crashes, c.sent, lost, twice, c.gaps)
	if lost > 0 || twice > 0 {
		t.Errorf("seed %d: %d lost, %d twice", seed, lost, twice)
	}
}

// No file that was vacuumed is held open, or mapped, by the reader.
func TestVacuumedFilesAreLetGo(t *testing.T) {
	t.Parallel()
	rounds := receivertest.Size(10, 50)
	c := &campaign{t: t, dir: t.TempDir(), s: &sink{}}
	c.rotate()
	c.write(10)
	awaitFile(t, c.files[0].path)
	c.start()
	most := 0
	for range rounds {
		c.rotate()
		c.write(1500)
		c.caughtUp()
		c.vacuum()
		most = max(most, deleted(t, c.pid.Load()))
	}
	await(t, func() bool { return deleted(t, c.pid.Load()) == 0 }, "deleted files to be let go")
	c.stop()
	demandNumbered(t, c.s.messages(), 0, c.sent)
	errs := c.r.Meter().Errors.Load()
	t.Logf("figure: row 9: %d vacuums: 0 deleted files held in the end, at most %d at once; the reader died %d times", rounds, most, errs)
	if most > 4 {
		t.Errorf("%d deleted files were held at once", most)
	}
}

// deleted returns how many deleted journal files a process has open or mapped.
func deleted(t testing.TB, pid int64) int {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("descriptors of process %d: %v", pid, err)
	}
	files := map[string]bool{}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, ".journal") && strings.HasSuffix(to, " (deleted)") {
			files[to] = true
		}
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.Index(line, "/"); at >= 0 && strings.Contains(line, ".journal") && strings.HasSuffix(line, " (deleted)\n") {
			files[strings.TrimSpace(line[at:])] = true
		}
	}
	return len(files)
}
