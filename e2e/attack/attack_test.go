// Package attack attacks real daemons with a list of hostile values for every field that a client can fill, and gives what
// they log to the real tattled with the packaged configuration. Nobody but the true peer may be held responsible: not one
// event may name another address, and abuseipdb-double must get a report about nobody else. The true peer's plain attacks must
// be reported, so that the check can fail.
//
// Each daemon runs in namespaces of its own, on an overlay of Debian's file system that e2e/attack/run makes, with a real
// journald and a real rsyslogd. No packet leaves the host.
package attack

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	perField = flag.Int("attack.values", 60, "how many hostile values each field gets; 0: all")
	times    = flag.Int("attack.times", 1, "how often each hostile value is sent: 12 reach the thresholds of the shipped policies for logins")
	seed     = flag.Uint64("attack.seed", 1, "which values are taken when not all are")
	limit    = flag.Duration("attack.for", 20*time.Minute, "how long one daemon may take")
	keep     = flag.String("attack.keep", "", "a directory that gets each daemon's logs")
)

// insideMark names the daemon in the environment of the process that runs in namespaces of its own.
const insideMark = "TATTLED_ATTACK_INSIDE"

// home is the variable of the directory with the file systems and programs that e2e/attack/run made.
const home = "TATTLED_ATTACK_HOME"

// daemon is a program that is attacked.
type daemon struct {
	name  string
	layer string   // a file system on top of the common one, for a package that conflicts with another
	rules []string // rule files whose samples are the daemon's own log lines
	pkg   string   // Debian package, for its version
	files []logFile
	// start writes the configuration and starts the programs. It returns when they accept connections.
	start  func(w *world)
	fields []field
	// plain is a plain attack, which must have the peer reported.
	plain func(w *world, c client)
	// more are further log lines in whose form values are written.
	more []string
	// unreported says that nobody is reported at all, because no line of the daemon proves an address (its peers write whole lines
	// of its log, or speak UDP), or because honest peers leave the same lines. The plain attack is an event then.
	unreported bool
	// foreign says that it logs under a name that journald does not vouch for, or as lines of a stream or a file in which its peers
	// may have lines of their own, so that only what rsyslogd wrote leads to a report.
	foreign bool
	// nameless says that this version logs no attack with the peer's address, so that the plain attack cannot be seen.
	nameless bool
	workers  int  // that attack at once; 0: eight
	slow     bool // left out of the quick run
}

// logFile is a file that the daemon writes by itself.
type logFile struct{ path, program string }

// field is what a client can fill. send uses the value once; its error is not looked at, because a daemon may refuse a value.
type field struct {
	name string
	send func(w *world, c client, value string) error
}

// all are the daemons in the order of the table.
func all() []daemon {
	return slices.Concat(
		[]daemon{sshd()}, webDaemons(), mailDaemons(), ftpDaemons(), otherDaemons(),
	)
}

func TestMain(m *testing.M) {
	flag.Parse()
	if name := os.Getenv(insideMark); name != "" {
		os.Exit(inside(name))
	}
	os.Exit(m.Run())
}

// TestDaemons attacks each daemon in a process of its own and prints the table.
func TestDaemons(t *testing.T) {
	if os.Getenv(home) == "" {
		t.Skip("it needs root and the file systems of e2e/attack/run: make attack")
	}
	table := []string{header}
	for _, d := range all() {
		t.Run(d.name, func(t *testing.T) {
			if d.slow && testing.Short() {
				t.Skip("slow: make attack")
			}
			out, err := runInside(d.name)
			for line := range strings.Lines(string(out)) {
				if row, found := strings.CutPrefix(line, rowMark); found {
					table = append(table, strings.TrimSpace(row))
				} else {
					t.Log(strings.TrimRight(line, "\n"))
				}
			}
			if err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
		})
	}
	fmt.Println(strings.Join(table, "\n"))
}

// runInside runs this program once more in namespaces of its own. All that it starts ends with it.
func runInside(name string) ([]byte, error) {
	args := []string{
		fmt.Sprintf("-attack.values=%d", *perField), fmt.Sprintf("-attack.times=%d", *times),
		fmt.Sprintf("-attack.seed=%d", *seed), fmt.Sprintf("-attack.for=%s", *limit), "-attack.keep=" + *keep,
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideMark+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.Bytes(), err
}

// inside attacks one daemon and judges. It returns the exit status.
func inside(name string) int {
	i := slices.IndexFunc(all(), func(d daemon) bool { return d.name == name })
	d := all()[i]
	late := time.AfterFunc(*limit, func() {
		fmt.Printf("%s: not done after %v\n", name, *limit)
		(*world)(nil).tellEnd()
		os.Exit(1)
	})
	defer late.Stop()
	w, err := newWorld(&d)
	if err == nil {
		err = w.attack()
	}
	if err == nil {
		err = w.judge()
	}
	if w != nil && *keep != "" {
		w.keepLogs(filepath.Join("/attack/keep", name))
	}
	if err != nil {
		fmt.Printf("%s: %v\n", name, err)
		if w != nil && len(err.Error()) < 200 {
			w.tellEnd()
		}
		return 1
	}
	return 0
}

// tellEnd shows the end of the log, for a daemon that did not do as expected.
func (w *world) tellEnd() {
	text, _ := os.ReadFile("/var/log/syslog")
	lines := bufio.NewScanner(bytes.NewReader(text[max(0, len(text)-4000):]))
	for lines.Scan() {
		fmt.Printf("  | %s\n", lines.Text())
	}
}
