package abuseipdb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tattled/setting"
)

// categoryNames are AbuseIPDB's categories, by number.
var categoryNames = [...]string{
	1: "dns-compromise", 2: "dns-poisoning", 3: "fraud-orders", 4: "ddos-attack", 5: "ftp-brute-force", 6: "ping-of-death", 7: "phishing", 8: "fraud-voip",
	9: "open-proxy", 10: "web-spam", 11: "email-spam", 12: "blog-spam", 13: "vpn-ip", 14: "port-scan", 15: "hacking", 16: "sql-injection", 17: "spoofing",
	18: "brute-force", 19: "bad-web-bot", 20: "exploited-host", 21: "web-app-attack", 22: "ssh", 23: "iot-targeted",
}

// CategoryNames lists the names of the categories, in the order of their numbers.
func CategoryNames() []string { return slices.Clone(categoryNames[1:]) }

// ParseCategories reads categories by name or number. AbuseIPDB takes 13 (VPN) and 22 (SSH) only beside another one.
func ParseCategories(texts []string) ([]int, error) {
	var all []int
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil {
			n = slices.Index(categoryNames[:], strings.ToLower(text))
		}
		if n < 1 || n >= len(categoryNames) {
			if near := setting.Nearest(strings.ToLower(text), CategoryNames()); near != "" {
				return nil, fmt.Errorf("there is no such category: did you mean %s?", near)
			}
			return nil, fmt.Errorf("there is no such category: it is a number from 1 to %d, or a name like port-scan or ssh", len(categoryNames)-1)
		}
		all = append(all, n)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("a category is missing: a number from 1 to %d, or a name like port-scan or ssh", len(categoryNames)-1)
	case len(all) == 1 && (all[0] == 13 || all[0] == 22):
		return nil, fmt.Errorf("%s is a category that goes with another one, like brute-force", categoryNames[all[0]])
	}
	return all, nil
}
