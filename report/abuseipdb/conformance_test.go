package abuseipdb_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/report/reporttest"
	"tattled/setting"
)

// The key of every test: of the real form, and easy to find where it must not be.
const key = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7aa"

// far serves a double as a real HTTP server and returns it with its base URL.
func far(t *testing.T, o double.Options) (*double.Double, string) {
	t.Helper()
	d, err := double.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return d, server.URL + "/api/v2/"
}

func client(t *testing.T, url, key string) *abuseipdb.Client {
	t.Helper()
	c, err := abuseipdb.New(abuseipdb.Config{URL: url}, setting.NewSecret(key), "tattled/test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The client does what every sender must do.
func TestSender(t *testing.T) {
	reporttest.Run(t, func(t *testing.T) *reporttest.Rig {
		d, url := far(t, double.Options{Key: key})
		fail := func(mode double.Mode) func(*testing.T) {
			return func(*testing.T) { d.SetFaults(double.Fault{Mode: mode}) }
		}
		c := client(t, url, key)
		return &reporttest.Rig{
			Sender:  c,
			Arrived: func() int { return len(d.Reports()) },
			Break: map[report.Result]func(*testing.T){
				report.Later:     fail(double.BadGateway),
				report.Paused:    fail(double.Exhausted),
				report.Duplicate: fail(double.Recently),
				report.Rejected:  fail(double.Invalid),
			},
			Hang:    func(*testing.T) { d.SetFaults(double.Fault{Mode: double.Delay, Delay: setting.Duration(time.Hour)}) },
			Secrets: []string{key, key[:20], strings.ToUpper(key)},
			Now:     time.Now(),
		}
	})
}
