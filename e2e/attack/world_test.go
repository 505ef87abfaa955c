package attack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// world is the machine that a daemon runs on: a file system, a network, a journald and a rsyslogd of its own.
type world struct {
	d        *daemon
	forms    []string
	book     book
	sent     atomic.Int64
	version  string
	logged   int  // innocents whose address was logged
	seen     bool // an event about the plain attacker
	unproven int  // events about others that nothing is reported for
}

// newWorld makes it, enters it, and starts the daemon.
func newWorld(d *daemon) (*world, error) {
	w := &world{d: d, book: book{told: map[string]string{}}}
	dir := os.Getenv(home)
	var err error
	if w.forms, err = forms(filepath.Join(dir, "rules"), d); err != nil {
		return nil, err
	}
	if err := enter(dir, d.layer); err != nil {
		return nil, err
	}
	for _, args := range []string{
		"link set lo up", "addr add " + server + "/32 dev lo", "addr add " + hostile + "/32 dev lo", "addr add " + plain + "/32 dev lo",
	} {
		if err := command("ip", strings.Fields(args)...); err != nil {
			return nil, err
		}
	}
	if err := w.startLoggers(); err != nil {
		return nil, err
	}
	out, _ := exec.Command("dpkg-query", "-W", "-f", "${Version}", d.pkg).Output()
	w.version = string(out)
	if version, err := os.ReadFile("/attack-version"); err == nil && d.layer != "" {
		w.version = strings.TrimSpace(string(version))
	}
	d.start(w)
	return w, nil
}

// enter mounts an overlay of the file system and makes it the root.
func enter(dir, layer string) error {
	work := filepath.Join(dir, "work")
	root, lower := work+"/root", dir+"/base"
	if layer != "" {
		lower = dir + "/" + layer + ":" + lower
	}
	bind := func(from, to string) func() error {
		return func() error { return syscall.Mount(from, root+to, "", syscall.MS_BIND, "") }
	}
	mount := func(kind, to, data string) func() error {
		return func() error { return syscall.Mount(kind, to, kind, 0, data) }
	}
	mkdir := func(paths ...string) func() error {
		return func() error {
			for _, p := range paths {
				if err := os.MkdirAll(p, 0o755); err != nil {
					return err
				}
			}
			return nil
		}
	}
	steps := []func() error{
		func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") },
		mkdir(work), mount("tmpfs", work, "mode=755"), mkdir(root, work+"/upper", work+"/work"),
		mount("overlay", root, "lowerdir="+lower+",upperdir="+work+"/upper,workdir="+work+"/work"),
		mkdir(root+"/attack", root+"/attack/bin"), bind(dir+"/bin", "/attack/bin"),
		mount("proc", root+"/proc", ""), mount("sysfs", root+"/sys", ""), mount("cgroup2", root+"/sys/fs/cgroup", ""),
		mount("tmpfs", root+"/run", "mode=755"), mount("tmpfs", root+"/dev", "mode=755"), mount("tmpfs", root+"/tmp", "mode=1777"),
		mkdir(root+"/run/lock", root+"/dev/shm"),
	}
	for _, node := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		steps = append(steps, func() error { return os.WriteFile(root+"/dev/"+node, nil, 0o666) }, bind("/dev/"+node, "/dev/"+node))
	}
	if *keep != "" {
		steps = append(steps, mkdir(*keep, root+"/attack/keep"), bind(*keep, "/attack/keep"))
	}
	steps = append(steps,
		func() error { return os.Chmod(root+"/dev/shm", 0o1777) },
		func() error { return os.Symlink("/proc/self/fd", root+"/dev/fd") },
		func() error { return os.Symlink("/run/systemd/journal/dev-log", root+"/dev/log") },
		func() error { return syscall.Chroot(root) },
		func() error { return os.Chdir("/") },
		func() error {
			return os.WriteFile("/etc/machine-id", []byte("00112233445566778899aabbccddeeff\n"), 0o444)
		},
		func() error {
			return os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n"+server+" web1.example.org web1\n"), 0o644)
		},
		func() error { return os.WriteFile("/etc/resolv.conf", nil, 0o644) },
		func() error { return syscall.Sethostname([]byte("web1")) },
		func() error { return os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") },
		func() error { return os.Setenv("HOME", "/root") },
		func() error { return os.Setenv("TMPDIR", "/tmp") },
	)
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d of making the root: %w", i, err)
		}
	}
	syscall.Umask(0o022)
	return nil
}

// startLoggers starts journald, and rsyslogd which gets from it what it gets on a Debian with both.
func (w *world) startLoggers() error {
	put("/proc/sys/net/unix/max_dgram_qlen", "65536") // as many datagrams wait for rsyslogd; systemd asks for 512
	put("/etc/systemd/journald.conf", "[Journal]\nStorage=volatile\nForwardToSyslog=yes\nRateLimitIntervalSec=0\nRuntimeMaxUse=2G\n")
	put("/etc/rsyslog.conf", `module(load="imuxsock" SysSock.Name="/run/systemd/journal/syslog" SysSock.RateLimit.Interval="0")
$FileOwner root
$FileCreateMode 0640
*.* -/var/log/syslog
`)
	w.run("systemd-journald", "/lib/systemd/systemd-journald")
	if err := soon(func() error { _, err := os.Stat("/run/systemd/journal/dev-log"); return err }); err != nil {
		return fmt.Errorf("journald: %w", err)
	}
	w.service("rsyslog", "rsyslogd", "-n", "-i", "NONE")
	return soon(func() error { _, err := os.Stat("/run/systemd/journal/syslog"); return err })
}

// run starts a program outside of any service. It ends with the namespaces.
func (w *world) run(name string, args ...string) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fatal("%s: %v", name, err)
	}
	go func() { _ = cmd.Wait() }()
}

// service starts a program as systemd does: in the control group of the service, with its standard output and error
// in the journal.
func (w *world) service(name string, args ...string) { w.serviceWith(name, nil, args...) }

func (w *world) serviceWith(name string, env []string, args ...string) {
	group := ownGroup() + "/" + slice + "/" + name + ".service"
	if err := os.MkdirAll(group, 0o755); err != nil {
		fatal("%v", err)
	}
	dir, err := os.Open(group)
	if err != nil {
		fatal("%v", err)
	}
	defer dir.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, insideMark+"=")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	stream, err := journalStream(filepath.Base(args[0]), name+".service")
	if err != nil {
		fatal("the journal's stream: %v", err)
	}
	defer stream.Close()
	cmd.Stdout, cmd.Stderr = stream, stream
	if err := cmd.Start(); err != nil {
		fatal("%s: %v", name, err)
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			fmt.Printf("  (%s ended: %v)\n", strings.Join(args, " "), err)
		}
	}()
}

// slice holds the control groups of the daemons. e2e/attack/run removes it.
const slice = "tattledattack.slice"

// ownGroup is our own control group: to journald, which runs in it as well, it is the root.
func ownGroup() string {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			return "/sys/fs/cgroup" + strings.TrimSuffix(path, "/")
		}
	}
	return "/sys/fs/cgroup"
}

// journalStream is a standard output into the journal (systemd's exec_context_connect_logger).
func journalStream(identifier, unit string) (*os.File, error) {
	conn, err := net.Dial("unix", "/run/systemd/journal/stdout")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\n%s\n30\n1\n0\n0\n0\n", identifier, unit); err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn).File()
}

// client is who attacks.
type client struct {
	addr string
}

// dial connects from the client's address.
func (c client) dial(port int) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.addr)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", fmt.Sprint(server, ":", port))
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(15 * time.Second))
}

// raw writes text, and reads until the server closes or says nothing for a while.
func (c client) raw(port int, text string) error {
	return c.exchange(port, text, 2*time.Second, func(conn net.Conn) error {
		_, err := io.Copy(io.Discard, conn)
		return err
	})
}

// exchange writes text by TCP, and reads what comes within patience.
func (c client) exchange(port int, text string, patience time.Duration, read func(net.Conn) error) error {
	conn, err := c.dial(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return read(conn)
}

// converse sends each text after an answer came: a greeting first.
func (c client) converse(port int, texts ...string) error {
	conn, err := c.dial(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	return converseOn(conn, texts...)
}

func converseOn(conn net.Conn, texts ...string) error {
	buf := make([]byte, 16<<10)
	if _, err := conn.Read(buf); err != nil {
		return err
	}
	for _, text := range texts {
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		if _, err := conn.Read(buf); err != nil {
			return err
		}
	}
	return nil
}

// attack sends every value of every field, and the plain attack last.
func (w *world) attack() error {
	workers := cmp.Or(w.d.workers, 8)
	for _, f := range w.d.fields {
		list := make(chan string)
		var group sync.WaitGroup
		var refused atomic.Int64
		for range workers {
			group.Go(func() {
				for v := range list {
					for range *times {
						if err := f.send(w, client{hostile}, v); err != nil && !errors.Is(err, io.EOF) {
							refused.Add(1)
						}
						w.sent.Add(1)
					}
				}
			})
		}
		values := w.book.values(w.d, w.forms, f.name)
		began := time.Now()
		for _, v := range values {
			list <- v
		}
		close(list)
		group.Wait()
		fmt.Printf("%s: %s: %d values, %d errors, %v\n", w.d.name, f.name, len(values), refused.Load(), time.Since(began).Round(time.Millisecond))
	}
	w.d.plain(w, client{plain})
	return nil
}

// --- small things ---------------------------------------------------------------------------------------------------

func fatal(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	(*world)(nil).tellEnd()
	os.Exit(1)
}

func put(path, text string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		fatal("%v", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		fatal("%v", err)
	}
}

func command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// must runs a command that the daemon needs.
func must(name string, args ...string) {
	if err := command(name, args...); err != nil {
		fatal("%v", err)
	}
}

// soon polls for 20 s.
func soon(try func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.Now().Add(20 * time.Second)
	for {
		err := try()
		if err == nil || time.Now().After(end) {
			return err
		}
		<-tick.C
	}
}

// tun makes the device of tunnels.
func tun() {
	put("/dev/net/.keep", "")
	must("mknod", "/dev/net/tun", "c", "10", "200")
}

// listening waits until the daemon takes connections.
func listening(port int) {
	err := soon(func() error {
		conn, err := net.Dial("tcp", fmt.Sprint(server, ":", port))
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		fatal("nothing listens on %d: %v", port, err)
	}
}
