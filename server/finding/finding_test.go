package finding_test

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gormoauth/gormoauth/server/finding"
)

// A lookup finds nothing where there is nothing, and does not fail or panic.
func TestALookup(t *testing.T) {
	const fails = "; remedy: check the condition of the handle that it was made from, and its table"
	for want, lookUp := range map[string]func() (bool, error){
		"": func() (bool, error) { return false, nil },
		"grave: here finds something that does not exist, so another row is used in its place; remedy: return nothing, and no error, for what is not there\n": func() (bool, error) { return true, nil },
		"grave: here fails: on two lines, so every request that needs it fails" + fails + "\n":                                                                func() (bool, error) { return false, errors.New("on\n  two lines") },
		"grave: here fails: panic: x, so every request that needs it fails" + fails + "\n":                                                                    func() (bool, error) { panic("x") },
	} {
		found := finding.LookUp("here", lookUp)
		assert.Equal(t, want, found.String())
		for _, one := range found {
			assert.Equal(t, "lookup", one.Check)
		}
	}
}

// The most serious comes first, at its level, with all that is known of it.
func TestFindingsAreLogged(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	list := finding.List{
		{Check: "a", Severity: finding.Hint, Where: "there", Problem: "is"},
		{Check: "b", Severity: finding.Grave, Where: "where", Problem: "what", Consequence: "why", Remedy: "how"},
		{Check: "c", Severity: finding.Warning, Where: "w", Problem: "p", Remedy: "r"},
		{Check: "d", Severity: finding.Grave, Where: "second", Problem: "what"},
	}
	list.Log(t.Context(), logger)
	assert.Equal(t, `level=ERROR msg="the doctor found something" finding.check=b finding.severity=grave finding.where=where finding.problem=what finding.consequence=why finding.remedy=how
level=ERROR msg="the doctor found something" finding.check=d finding.severity=grave finding.where=second finding.problem=what finding.consequence="" finding.remedy=""
level=WARN msg="the doctor found something" finding.check=c finding.severity=warning finding.where=w finding.problem=p finding.consequence="" finding.remedy=r
level=INFO msg="the doctor found something" finding.check=a finding.severity=hint finding.where=there finding.problem=is finding.consequence="" finding.remedy=""
`, log.String())
	assert.Equal(t, "grave: where what, so why; remedy: how\ngrave: second what\nwarning: w p; remedy: r\nhint: there is\n", list.String())
	assert.EqualError(t, list.Err(), "grave: where what, so why; remedy: how\ngrave: second what")
	assert.Equal(t, list[:1], list[:1].Without("b"))
	assert.Empty(t, list.Without("a", "b", "c", "d"))
	assert.NoError(t, list[:1].Err())
}
