package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"tattled/event"
)

// ownEvery is how often this machine's addresses are looked up again: they change with leases and containers. Before something is sent
// they are, too, if they are older than ownFresh: an address that is new is not reported in its first minute either. So nothing needs
// to listen for the kernel's messages about them.
const (
	ownEvery = time.Minute
	ownFresh = time.Second
)

// ownLook is when the addresses were looked up last.
type ownLook struct {
	mu   sync.Mutex
	last time.Time
}

// refreshOwn looks them up for the engine in use.
func (d *Daemon) refreshOwn() error {
	d.own.mu.Lock()
	defer d.own.mu.Unlock()
	return d.lookUpOwn()
}

func (d *Daemon) lookUpOwn() error {
	own, err := ownAddresses()
	if err == nil {
		d.own.last = time.Now()
		d.live.Load().gate.SetOwn(own)
	}
	return err
}

// followOwn keeps the gate's list of own addresses fresh. A failed look leaves the list as it was.
func (d *Daemon) followOwn(ctx context.Context) error {
	every(ctx, ownEvery, func() {
		if err := d.refreshOwn(); err != nil {
			d.log.Warn("own addresses are not up to date", "error", err)
		}
	})
	return nil
}

// mayTell is the engine's, by own addresses that are up to date. Couriers ask it before every attempt to send.
func (d *Daemon) mayTell(r *event.Report) string {
	d.own.mu.Lock()
	if age := time.Since(d.own.last); age < 0 || age >= ownFresh {
		_ = d.lookUpOwn() // followOwn logs it
	}
	d.own.mu.Unlock()
	return d.live.Load().mayTell(r)
}

// ownAddresses returns the addresses of this machine's interfaces. They are never reported.
func ownAddresses() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("look up this machine's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	return own, nil
}

// every calls do at once and then each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
