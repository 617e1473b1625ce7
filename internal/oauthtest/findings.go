package oauthtest

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/gormoauth/gormoauth/server/finding"
)

// KnowFindings fails the test unless testdata/findings.txt of its package has each finding,
// in all its words: operators act on them, and paste the remedy. A line of the file is the
// severity, the check, and [finding.Finding]'s other fields, with "<any>" for what differs
// from run to run, and quotation marks where some engines write backticks.
func KnowFindings(tb testing.TB, findings finding.List) {
	tb.Helper()
	all, err := knownFindings()
	if err != nil {
		tb.Fatal(err)
	}
	for _, one := range findings {
		line := strings.Join([]string{one.Severity.String(), one.Check, one.Where, one.Problem, one.Consequence, one.Remedy}, " | ")
		if !all.MatchString(strings.ReplaceAll(strings.TrimSpace(line), "`", `"`)) {
			tb.Errorf("testdata/findings.txt does not have\n%s", line)
		}
	}
}

// knownFindings matches the lines of the file, which is that of the package whose tests run.
var knownFindings = sync.OnceValues(func() (*regexp.Regexp, error) {
	text, err := os.ReadFile("testdata/findings.txt")
	if err != nil {
		return nil, err
	}
	var known []string
	for line := range strings.Lines(string(text)) {
		known = append(known, strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(line)), "<any>", ".+?"))
	}
	return regexp.Compile("^(" + strings.Join(known, "|") + ")$")
})
