package daemon

import (
	"reflect"

	"tattled/policy"
)

// reload reads the configuration and the rules again and swaps what can be swapped. A fault anywhere changes nothing.
func (d *Daemon) reload() {
	cfg, err := ReadConfig(d.options.Config)
	if err != nil {
		d.log.Error("reload: the configuration is at fault; nothing was changed", "faults", err.Error())
		return
	}
	rules, faults := loadRules(cfg)
	if len(faults) > 0 {
		d.log.Error("reload: the rules are at fault; nothing was changed", "faults", faults.Error())
		return
	}
	own, err := ownAddresses()
	if err != nil {
		d.log.Error("reload: nothing was changed", "error", err)
		return
	}
	senders, err := newSenders(cfg, d.options.Version)
	if err != nil {
		d.log.Error("reload: a secret cannot be read; nothing was changed", "error", err)
		return
	}
	if err := d.places.Follow(cfg.GeoIP); err != nil {
		d.log.Error("reload: a GeoIP database cannot be used; nothing was changed", "error", err)
		return
	}
	for _, name := range needRestart(d.config, cfg) {
		d.log.Warn("reload: a change needs a restart", "setting", name, "remedy", "systemctl restart tattled")
	}
	gate := newGate(cfg, d.sharedHit)
	gate.SetOwn(own)
	// The senders come first: once the policy judges for a key, nothing that it judges is sent without one.
	for _, o := range d.outlets {
		if s := senders[o.name]; s != nil {
			o.sender.Store(&s)
		}
	}
	d.swap(cfg, gate)
	d.pipeline.engine.Store(newEngine(cfg, rules, gate, d.tally))
	d.log.Info("reloaded", "dry_run", d.dryRun())
}

// swap keeps of cfg what took effect; the rest stays as it is running, so that the next reload still names it.
func (d *Daemon) swap(cfg *Config, gate *policy.Gate) {
	d.committer.SetPolicy(newPolicy(cfg, gate, d.counters, d.dryRuns()))
	running := *cfg
	running.Sources, running.Store, running.Web = d.config.Sources, d.config.Store, d.config.Web
	d.config = &running
}

// needRestart names the sections that differ and that only a restart brings into effect.
func needRestart(running, wanted *Config) []string {
	var names []string
	for name, pair := range map[string][2]any{
		"sources": {running.Sources, wanted.Sources},
		"store":   {running.Store, wanted.Store},
		"web":     {running.Web, wanted.Web},
		"alerts":  {running.Alerts.Mail == nil, wanted.Alerts.Mail == nil},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			names = append(names, name)
		}
	}
	return names
}
