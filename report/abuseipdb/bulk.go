package abuseipdb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tattled/event"
	"tattled/report"
)

// The bounds of a bulk file, from https://www.abuseipdb.com/bulk-report: less than 2 MB, and 10,000 lines with the heading.
const (
	maxRows = 9_999
	maxFile = 2_000_000
	// minRows is as far as maxRows is lowered by answers that call a file too large.
	minRows = 100
	// maxBulkAnswer bounds what is read of an answer: one that refuses every row has a megabyte.
	maxBulkAnswer = 4 << 20
	// slower is how many times longer than another request a bulk file may take.
	slower = 6
	// refusedFile is how long no other file is sent after one that was refused as a whole: another one would be no better.
	refusedFile = 12 * time.Hour
)

const heading = "IP,Categories,ReportDate,Comment\n"

// file is a bulk file in the making.
type file struct {
	text bytes.Buffer
	rows []int              // which report is in each row
	at   map[netip.Addr]int // by address: which report
	twin map[int]int        // reports about an address that is in the file: which report is
}

// add puts a report into the file and returns whether it fitted, as a row of its own or as another one about the same address.
func (f *file) add(i int, r *event.Report, most int) bool {
	addr := r.Addr.Unmap().WithZone("")
	if first, there := f.at[addr]; there {
		f.twin[i] = first
		return true
	}
	line := fmt.Sprintf("%s,\"%s\",%s,\"%s\"\n", address(r.Addr), categories(r), timestamp(r), cell(Comment(r)))
	if len(f.rows) >= most || f.text.Len()+len(line) >= maxFile {
		return false
	}
	f.text.WriteString(line)
	f.rows = append(f.rows, i)
	f.at[addr] = i
	return true
}

// cell makes a comment fit for a field in quotes: the dialect has no way to write a backslash before a quote, so neither is left in,
// and whoever opens the file in a spreadsheet runs no formula of it.
func cell(comment string) string {
	comment = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return -1
		case r < ' ' || r == 0x7f:
			return ' '
		}
		return r
	}, comment)
	return strings.TrimLeft(comment, " =+-@|%")
}

// Bulk implements report.BulkSender.
func (c *Client) Bulk() report.BulkBounds {
	now := time.Now()
	b := report.BulkBounds{Reports: int(c.maxRows.Load()), Requests: c.left(&c.bulk, now), Singles: c.left(&c.report, now)}
	if c.DryRun() {
		b.Reports = 0
	}
	return b
}

// SendBulk reports all of reports by one file. See report.BulkSender. A file of which nobody knows whether it arrived leaves that open
// for each of its reports.
func (c *Client) SendBulk(ctx context.Context, reports []*event.Report) ([]report.Outcome, report.Outcome) {
	each := make([]report.Outcome, len(reports))
	f := file{at: map[netip.Addr]int{}, twin: map[int]int{}}
	f.text.WriteString(heading)
	now, most := time.Now(), int(c.maxRows.Load())
	for i, r := range reports {
		switch out := Admissible(r, now); {
		case out.Result != 0:
			each[i] = out
		case c.DryRun():
			each[i] = report.Outcome{Result: report.DryRun, Detail: "no API key is configured"}
		case !f.add(i, r, most):
			each[i] = report.Outcome{Result: report.Later, Detail: "it did not fit into the bulk file"}
		}
	}
	if len(f.rows) == 0 {
		return each, report.Outcome{}
	}
	request, spent := c.spent(&c.bulk, now)
	if spent {
		f.settle(each, request)
	} else {
		request = c.judge(c.upload(ctx, f.text.Bytes()), &f, each)
	}
	for i, first := range f.twin {
		each[i] = each[first]
		if each[i].Result == report.Delivered {
			each[i] = report.Outcome{Result: report.Duplicate, Detail: "the bulk file had another report about the address"}
		}
	}
	return each, request
}

// upload sends a file.
func (c *Client) upload(ctx context.Context, csv []byte) answer {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("csv", "report.csv")
	if err == nil {
		_, err = part.Write(csv)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil { // a buffer takes all
		return answer{err: err, asked: time.Now()}
	}
	return c.do(ctx, &c.bulk, request{
		method: http.MethodPost, body: body.Bytes(), kind: form.FormDataContentType(), timeout: slower * c.timeout, most: maxBulkAnswer, whole: true,
	})
}

// judge finds what became of each row, and of the request.
func (c *Client) judge(a answer, f *file, each []report.Outcome) report.Outcome {
	out := a.outcome(&c.bulk)
	switch {
	case out.Result == report.Delivered:
		return a.rows(f, each)
	case a.err != nil:
	case out.Result == report.Rejected || out.Result == report.Duplicate || a.status == http.StatusRequestEntityTooLarge:
		// The file as a whole is what is not liked, and none of its reports is known to be at fault: each is sent by itself.
		if a.status == http.StatusRequestEntityTooLarge {
			c.maxRows.Store(max(minRows, int64(len(f.rows)/2)))
		}
		out.Result, out.Until = report.Paused, a.asked.Add(refusedFile)
	case a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout || a.status >= 520:
		out.Unanswered = true // who answers is in front of the server, which has the file and may be at work on it
	}
	f.settle(each, out)
	return out
}

// settle gives all rows one outcome.
func (f *file) settle(each []report.Outcome, out report.Outcome) {
	for _, i := range f.rows {
		each[i] = out
	}
}

// saved is the answer to a bulk file.
type saved struct {
	Data *struct {
		Saved   *int `json:"savedReports"`
		Invalid []struct {
			Error string `json:"error"`
			Input string `json:"input"`
			Row   int    `json:"rowNumber"`
		} `json:"invalidReports"`
	} `json:"data"`
}

// rows maps the rows of an answer back to reports. An address is in the file once, so that a row is known by it; by its number (the
// heading being row 1, which is not documented) only where the answer names no address of the file. Where the sum is not right, nobody
// knows which rows are missing.
func (a answer) rows(f *file, each []report.Outcome) report.Outcome {
	var body saved
	if err := json.Unmarshal(a.body, &body); err != nil || body.Data == nil || body.Data.Saved == nil {
		return uncertain(f, each, "the answer to the bulk file could not be read")
	}
	left := len(f.rows)
	for _, row := range body.Data.Invalid {
		i, there := f.find(row.Input, row.Row)
		if !there || each[i].Result != 0 {
			continue
		}
		each[i] = a.refused(row.Error)
		left--
	}
	if *body.Data.Saved != left {
		return uncertain(f, each, fmt.Sprintf("the answer counts %d reports of the bulk file as saved, not %d", *body.Data.Saved, left))
	}
	for _, i := range f.rows {
		if each[i].Result == 0 {
			each[i] = report.Outcome{Result: report.Delivered, Detail: "by bulk file"}
		}
	}
	return report.Outcome{Result: report.Delivered}
}

// find returns which report a row of an answer is about.
func (f *file) find(input string, row int) (int, bool) {
	if addr, err := netip.ParseAddr(strings.TrimSpace(input)); err == nil {
		if i, there := f.at[addr.Unmap().WithZone("")]; there {
			return i, true
		}
	}
	if at := row - 2; at >= 0 && at < len(f.rows) {
		return f.rows[at], true
	}
	return 0, false
}

// refused judges the error of one row: what AbuseIPDB has already is as good as delivered, all else will never be taken.
func (a answer) refused(text string) report.Outcome {
	out := report.Outcome{Result: report.Rejected, Detail: a.clean("bulk file: " + text)}
	if strings.Contains(strings.ToLower(text), "duplicate") || recently.MatchString(text) {
		out.Result = report.Duplicate
	}
	return out
}

// uncertain says of all rows that are not known to be refused that they may have arrived.
func uncertain(f *file, each []report.Outcome, why string) report.Outcome {
	out := report.Outcome{Result: report.Later, Unanswered: true, Detail: why}
	for _, i := range f.rows {
		if each[i].Result == 0 {
			each[i] = out
		}
	}
	return out
}
