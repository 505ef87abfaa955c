package double

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The bounds of a bulk file (documented). Whether "2 MB" is a power of two is not: the smaller one is taken.
const (
	maxFile  = 2_000_000
	maxLines = 10_000
)

// invalidRow is one row that was not saved (documented).
type invalidRow struct {
	Error string `json:"error"`
	Input string `json:"input"`
	Row   int    `json:"rowNumber"` // the heading is row 1 (synthetic)
}

// bulkReport is POST bulk-report. A file that cannot be read as a whole is refused as a whole (synthetic: status and texts).
// The lock must be held.
func (d *Double) bulkReport(c *call) reply {
	if c.file == nil {
		return invalid("The csv field is required.", "csv")
	}
	if len(c.file) >= maxFile {
		return refuse(http.StatusRequestEntityTooLarge, "The csv may not be greater than 2 megabytes.", "csv")
	}
	table, lines, err := parseCSV(c.file)
	switch {
	case err != nil:
		return invalid("The csv could not be read: "+err.Error(), "csv")
	case lines > maxLines:
		return invalid("The csv may not have more than 10000 lines.", "csv")
	case len(table) == 0 || !slices.Equal(table[0], []string{"IP", "Categories", "ReportDate", "Comment"}):
		return invalid("The csv must have the headings IP,Categories,ReportDate,Comment.", "csv")
	}
	saved, wrong := 0, []invalidRow{}
	seen := map[netip.Addr]bool{}
	for i, row := range table[1:] {
		if c.half && i%2 == 1 {
			continue
		}
		addr, report, fault := readRow(row)
		if fault == "" && (seen[addr] || d.recently(c.key, addr)) {
			// Documented as a text; that it is about the file, and about the last 15 minutes as well, is synthetic.
			fault = "Duplicate IP"
		}
		if fault != "" {
			wrong = append(wrong, invalidRow{fault, row[0], i + 2})
			continue
		}
		seen[addr] = true
		d.accept(c.key, addr, report) // and so for the 15-minute rule of report (synthetic)
		saved++
	}
	return ok(struct {
		Saved   int          `json:"savedReports"`
		Invalid []invalidRow `json:"invalidReports"`
	}{saved, wrong})
}

// readRow reads a row of a bulk file. "Invalid Date" is synthetic, the other faults are documented.
func readRow(row []string) (netip.Addr, Report, string) {
	addr, valid := parseAddr(row[0])
	if !valid {
		return addr, Report{}, "Invalid IP"
	}
	categories, valid := parseCategories([]string{row[1]})
	if !valid {
		return addr, Report{}, "Invalid Category"
	}
	if !isDate(row[2]) {
		return addr, Report{}, "Invalid Date"
	}
	return addr, Report{Categories: categories, Timestamp: row[2], Comment: truncate(row[3], maxComment)}, ""
}

// isDate takes the forms of strtotime() that anybody is likely to send (documented: it takes all of them).
func isDate(text string) bool {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05 -0700", time.DateOnly, time.RFC1123Z} {
		if _, err := time.Parse(form, text); err == nil {
			return true
		}
	}
	return false
}

// parseCSV reads the dialect of bulk-report (documented): a quote within quotes is written \", a backslash does not escape
// itself, and "" is not a quote. What else is wrong with it is refused strictly (synthetic), so that a client that sends
// RFC 4180 is found out. lines counts ends of lines, those within quotes as well.
func parseCSV(file []byte) (table [][]string, lines int, err error) {
	text := string(bytes.TrimRight(file, "\r\n"))
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	for row := 1; text != ""; row++ {
		var fields []string
		for {
			var field string
			field, text, err = parseField(text)
			if err != nil {
				return nil, 0, fmt.Errorf("row %d: %w", row, err)
			}
			fields = append(fields, field)
			lines += strings.Count(field, "\n")
			if text == "" || text[0] == '\n' {
				break
			}
			if text = text[1:]; text == "" { // it ends in a comma: the last field is empty
				fields = append(fields, "")
				break
			}
		}
		text = strings.TrimPrefix(text, "\n")
		lines++
		if len(fields) != 4 {
			return nil, 0, fmt.Errorf("row %d has %d columns", row, len(fields))
		}
		table = append(table, fields)
	}
	return table, lines, nil
}

// parseField reads one field. What remains is "" or begins with a comma or the end of the line.
func parseField(text string) (field, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ",\n")
		if end < 0 {
			end = len(text)
		}
		if strings.Contains(text[:end], `"`) {
			return "", "", fmt.Errorf("a quote in a field without quotes")
		}
		return text[:end], text[end:], nil
	}
	for i := 1; i < len(text); i++ {
		if text[i] != '"' || text[i-1] == '\\' {
			continue
		}
		rest = text[i+1:]
		if rest != "" && rest[0] != ',' && rest[0] != '\n' {
			return "", "", fmt.Errorf("something follows a closing quote")
		}
		return strings.ReplaceAll(text[1:i], `\"`, `"`), rest, nil
	}
	return "", "", fmt.Errorf("a quote is not closed")
}
