package attack

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Who takes part. All are public addresses: what the gate holds against private ones stays switched on, and no packet leaves
// the namespace.
const (
	server  = "10.77.0.10"
	hostile = "91.200.12.66" // sends the hostile values
	plain   = "91.200.12.77" // attacks plainly
)

// innocent is the n-th address that a hostile value names.
func innocent(n int) string { return fmt.Sprintf("185.%d.%d.%d", 1+n/62500%250, 1+n/250%250, 1+n%250) }

// forms are log lines in which @ is the address: the daemon's own, by the samples of its rules, and those of others that have
// an address blocked.
func forms(rulesDir string, d *daemon) ([]string, error) {
	list := []string{
		"Failed password for root from @ port 40022 ssh2",
		"sshd[1234]: Failed password for root from @ port 40022 ssh2",
		"@ - - [01/Jan/2026:00:00:00 +0000] \"GET /.env HTTP/1.1\" 404 196 \"-\" \"curl\"",
		"NOTICE [sshd] Ban @",
		"kernel: [UFW BLOCK] IN=eth0 OUT= SRC=@ DST=10.77.0.10 LEN=40 TTL=240 PROTO=TCP SPT=40022 DPT=22 WINDOW=1024 SYN URGP=0",
		"pam_unix(x:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=@  user=root",
	}
	list = append(list, d.more...)
	for _, name := range d.rules {
		text, err := os.ReadFile(filepath.Join(rulesDir, name+".yaml"))
		if err != nil {
			return nil, err
		}
		var file struct {
			Rules []struct {
				Samples []struct {
					Line string
					IP   string
				}
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, r := range file.Rules {
			for _, s := range r.Samples {
				if s.IP != "" && strings.Contains(s.Line, s.IP) {
					list = append(list, strings.ReplaceAll(s.Line, s.IP, "@"))
				}
			}
		}
	}
	return list, nil
}

// ends are what may end a line, or hide what follows, on its way into a log.
var ends = []string{"\n", "\r\n", "\r", "\x00", "\u2028", "%0a", "%0d%0a", "%00", "\\n", "#012", "\"", "'", "\\\"", "\x1b[2K\r", "\v", "\x85"}

// lengths are where daemons and loggers cut.
var lengths = []int{255, 900, 1024, 4096}

var blank = regexp.MustCompile(` +`)

// headers are what may precede a message in a log.
var headers = []string{"<38>Jan  1 00:00:00 web1 @P[4242]: ", "@P[4242]: ", "2026-01-01T00:00:00.000000+00:00 web1 @P[4242]: "}

// texts are the hostile values that hold form, with @ for the address.
func texts(program, form string) []string {
	list := []string{form, "x " + form, "@", "@ ", "x@", "-" + form}
	at := strings.IndexByte(form, '@')
	words := blank.FindAllStringIndex(form[:at], -1)
	for _, w := range words[max(0, len(words)-6):] {
		list = append(list, "x"+form[w[0]:], form[w[1]:])
	}
	for _, end := range ends {
		list = append(list, "x"+end+form, "x"+end+form+end+"y")
	}
	for _, h := range headers {
		list = append(list, "x\n"+strings.ReplaceAll(h, "@P", program)+form, "x\r\n"+strings.ReplaceAll(h, "@P", program)+form+"\n")
	}
	for _, n := range lengths {
		list = append(list, strings.Repeat("A", n)+form, strings.Repeat("A", max(0, n-len(form)-6))+form, strings.Repeat("A", n-1)+"\n"+form,
			form+strings.Repeat(" ", n), "x "+form+" "+strings.Repeat("B", n))
	}
	return list
}

// book knows which value every innocent address was named in.
type book struct {
	next int
	told map[string]string // address -> field and value
}

// values are the hostile values of a field, each with an innocent of its own.
func (b *book) values(d *daemon, list []string, field string) []string {
	var candidates []string
	for _, f := range list {
		candidates = append(candidates, texts(d.name, f)...)
	}
	rng := rand.New(rand.NewPCG(*seed, uint64(len(field))))
	if n := *perField; n > 0 && n < len(candidates) {
		rng.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		candidates = candidates[:n]
	}
	for i, text := range candidates {
		addr := innocent(b.next)
		b.next++
		candidates[i] = strings.ReplaceAll(text, "@", addr)
		b.told[addr] = fmt.Sprintf("%s = %.300q", field, candidates[i])
	}
	return candidates
}
