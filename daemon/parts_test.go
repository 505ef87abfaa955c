package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tattled/event"
	"tattled/policy"
	"tattled/receiver"
	"tattled/report"
	"tattled/setting"
)

// pipeConfig, pipe and pager are a kind of source and a kind of destination that tattled does not have.
type pipeConfig struct {
	Name     string `yaml:"name"`
	Reporter string `yaml:"reporter"`
	Program  string `yaml:"program"`
}

func (c *pipeConfig) Check(report setting.FaultFunc) {
	if c.Name == "" {
		report("name", "is missing: write one")
	}
}

type pipe struct {
	name  string
	meter receiver.Meter
}

func (p *pipe) Source() string         { return p.name }
func (p *pipe) Meter() *receiver.Meter { return &p.meter }

func (p *pipe) Run(ctx context.Context, _ receiver.Positions, _ receiver.Handler) error {
	<-ctx.Done()
	return nil
}

type pagerConfig struct {
	Number  string             `yaml:"number"`
	PINFile setting.SecretFile `yaml:"pin_file"`
}

func (c *pagerConfig) Check(report setting.FaultFunc) {
	if c.Number == "0" {
		report("number", "nobody answers at 0: write another")
	}
}

type pager struct{ number, pin string }

func (p *pager) Destination() string { return "pager" }
func (p *pager) Send(context.Context, *event.Report) report.Outcome {
	return report.Outcome{Result: report.Delivered}
}

// strangeParts are the shipped parts and two more, each of which is one entry of the table.
func strangeParts() *table {
	t := shippedParts()
	t.sources = append(t.sources, each[[]pipeConfig]("sources.pipes", func(at string, c *pipeConfig) source {
		return source{
			at: at, name: "pipe:" + c.Name, alias: c.Name, reporter: c.Reporter, program: c.Program, trust: event.TrustCount,
			files: func() []string { return []string{"/nowhere"} },
			open: func(*environment) (receiver.Receiver, error) {
				if c.Name == "broken" {
					return nil, errors.New("it is broken")
				}
				return &pipe{name: "pipe:" + c.Name}, nil
			},
		}
	}))
	pin := secretName{"pager.pin", "TATTLED_PAGER_PIN"}
	t.destinations = append(t.destinations, optional("alerts.pager", func(at string, c *pagerConfig) destination {
		return destination{
			at: at, name: "pager", action: policy.Alert, window: 1000, terms: report.Terms{Rate: 3}, remedy: "charge the pager",
			open: func(cfg *Config, _ string) (report.Sender, error) {
				code, err := cfg.secret(pin, c.PINFile)
				if err == nil && code.Reveal() != "1234" {
					err = errors.New("it is not the one of the pager: write that")
				}
				if err != nil {
					return nil, errors.New(at + ".pin_file: " + err.Error())
				}
				return &pager{c.Number, code.Reveal()}, nil
			},
		}
	}, pin))
	return t
}

// A new kind of source or destination is one entry of the table: its section is read, checked and explained, it is opened, shown and
// notified, and a reload takes what it can of it and says what it cannot.
func TestAPartIsOneEntry(t *testing.T) {
	parts, dir := strangeParts(), t.TempDir()
	path := filepath.Join(dir, "t.yaml")
	t.Setenv("TATTLED_PAGER_PIN", "1234")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"store: {path: "+dir+"/state.db}\nweb: {listen: \"127.0.0.1:0\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const pipes = "sources: {pipes: [{name: steel, reporter: web1, program: sshd}, {name: broken}]}\n"

	t.Run("check", func(t *testing.T) {
		check := func() (string, error) {
			c := checking{path: path, parts: parts, units: unitFiles{dir}}
			checked, err := c.run()
			return strings.Join(checked.Warnings, "\n"), err
		}
		write("sources:\n  pipes:\n    - {nam: x}\n    - {name: x, program: sshdd}\n    - {name: z}\n    - {name: z}\nalerts:\n  pager:\n    number: 0\npolicy: [{name: p, when: {source: [pipe:y]}, do: [count]}]\n")
		_, err := check()
		if err == nil {
			t.Fatal("nothing is at fault")
		}
		for _, want := range []string{
			`t.yaml:3: sources.pipes[0].nam: no such setting: did you mean "name"?`, "t.yaml:3: sources.pipes[0].name: is missing", "t.yaml:4: sources.pipes[1].program: no rule reads",
			"t.yaml:6: sources.pipes[3]: is the same source as sources.pipes[2]: remove one", "t.yaml:9: alerts.pager.number: nobody answers", `t.yaml:10: policy[0].when.source[0]: there is no source "pipe:y"`,
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %q", err, want)
			}
		}
		t.Setenv("TATTLED_PAGER_PIN", "9999")
		write(pipes + "alerts: {pager: }\n")
		if warned, err := check(); err == nil || !strings.Contains(err.Error(), "t.yaml:2: alerts.pager.pin_file: it is not the one") || !strings.Contains(warned, "t.yaml:1: sources.pipes[0].path: /nowhere does not exist") {
			t.Errorf("%v\n%s", err, warned)
		}
	})

	t.Run("explain", func(t *testing.T) {
		write(pipes)
		x, err := parts.explainer(path)
		if err != nil {
			t.Fatal(err)
		}
		if name, known := x.Source("steel"); name != "pipe:steel" || !known || strings.Join(x.Sources(), " ") != "pipe:steel pipe:broken" {
			t.Errorf("%q %v, of %q", name, known, x.Sources())
		}
		if trust, _ := x.Trust("pipe:steel"); trust != event.TrustCount {
			t.Errorf("its trust is %v", trust)
		}
	})

	t.Run("daemon", func(t *testing.T) {
		write(pipes + "alerts: {pager: {number: 1}}\n")
		d, err := New(Options{Config: path, Log: slog.New(slog.DiscardHandler), parts: parts})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.close)
		h := d.health()
		if len(h.Sources) != 2 || h.Sources[0].Name != "pipe:steel" || h.Sources[0].Reporter != "web1" || !h.Sources[0].Up || h.Sources[1].Up {
			t.Errorf("the page shows %+v", h.Sources)
		}
		if len(h.Problems) != 1 || h.Problems[0].What != "pipe:broken is not read" || !strings.HasPrefix(h.Problems[0].Cause, "open sources.pipes[1]: it is broken") {
			t.Errorf("the problems are %+v", h.Problems)
		}
		sender := func() pager {
			p, is := d.live.Load().senders["pager"].(*pager)
			if !is {
				t.Fatalf("the senders are %v", d.live.Load().senders)
			}
			return *p
		}
		if len(d.outlets) != 2 || d.outlets[1].name != "pager" || d.outlets[1].action != policy.Alert || sender() != (pager{"1", "1234"}) {
			t.Errorf("the outlets are %+v", d.outlets)
		}
		if one := d.live.Load().destination("pager"); one.terms.Rate != 3 || one.remedy != "charge the pager" {
			t.Errorf("it is %+v", one)
		}
		if dest := told(d.config, nil); len(dest) != 2 || dest[1].Name != "pager" || dest[1].Window != 1000 {
			t.Errorf("the policy knows %+v", dest)
		}
		reload := func(text, waits string) {
			t.Helper()
			write(text)
			if d.reload(); !d.reloads.ok() || strings.Join(d.reloads.last.Load().waiting, " ") != waits {
				t.Errorf("%v, waiting %q, want %q", d.reloads.problems(), d.reloads.last.Load().waiting, waits)
			}
		}
		reload(pipes+"alerts: {pager: {number: 2}}\n", "")
		if sender().number != "2" {
			t.Error("the reload did not take the number")
		}
		reload(strings.Replace(pipes, "web1", "web2", 1), "alerts.pager sources.pipes")
		if sender().number != "2" || len(d.live.Load().config.sources()) != 2 || d.live.Load().config.sources()[0].reporter != "web1" {
			t.Error("what waits for a restart took effect")
		}
		write(pipes + "alerts: {pager: {pin_file: /usr/lib}}\n")
		if d.reload(); d.reloads.ok() || !strings.Contains(d.status(), "alerts.pager.pin_file: ") {
			t.Errorf("the status is %q", d.status())
		}
	})
}
