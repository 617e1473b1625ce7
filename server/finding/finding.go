// Package finding is what the doctor says: a problem of a program, how serious it is, and how to fix
// it.
package finding

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// LookUp looks up something that does not exist, such as the digest of a token that was
// never issued, and returns a finding if the lookup fails or finds something. where names the
// function as the program knows it.
func LookUp(where string, lookUp func() (found bool, err error)) List {
	found, err := Safely(lookUp)
	switch {
	case err != nil:
		return List{LookUpFails(where, err)}
	case found:
		return List{LookUpFinds(where)}
	default:
		return nil
	}
}

// Safely calls lookUp and turns a panic, such as that of a method called on a nil pointer, into an error.
func Safely(lookUp func() (bool, error)) (found bool, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return lookUp()
}

// LookUpFails returns the finding of a lookup that returns an error.
func LookUpFails(where string, err error) Finding {
	return Finding{
		Check: "lookup", Severity: Grave, Where: where, Problem: "fails: " + strings.Join(strings.Fields(err.Error()), " "),
		Consequence: "every request that needs it fails", Remedy: "check the condition of the handle that it was made from, and its table",
	}
}

// LookUpFinds returns the finding of a lookup that finds what does not exist.
func LookUpFinds(where string) Finding {
	return Finding{
		Check: "lookup", Severity: Grave, Where: where, Problem: "finds something that does not exist",
		Consequence: "another row is used in its place", Remedy: "return nothing, and no error, for what is not there",
	}
}

// Finding is a problem of a program, and how to fix it. It is an error, and a value for a log.
type Finding struct {
	// Check identifies the rule that was broken, such as "unique_index". It stays the same
	// between releases, see [List.Without].
	Check string
	// Severity is how serious the problem is.
	Severity Severity
	// Where is the model, table and column, or the setting.
	Where string
	// Problem is what is wrong there.
	Problem string
	// Consequence is what the problem leads to.
	Consequence string
	// Remedy is what to write, such as a tag, a setting or a statement.
	Remedy string
}

// Severity is how serious a [Finding] is.
type Severity int

// The severities, from the lowest to the highest.
const (
	// Hint is for something that is a problem only under conditions that the doctor cannot check.
	Hint Severity = iota
	// Warning is for something that is slow or fails occasionally.
	Warning
	// Grave is for something that loses data, lets an attacker in, or keeps the server from
	// working.
	Grave
)

// String returns "hint", "warning" or "grave".
func (s Severity) String() string {
	switch s {
	case Grave:
		return "grave"
	case Warning:
		return "warning"
	default:
		return "hint"
	}
}

// Level returns the corresponding log level: Info, Warn or Error.
func (s Severity) Level() slog.Level {
	switch s {
	case Grave:
		return slog.LevelError
	case Warning:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// Error returns the finding in one line, with its remedy.
func (f Finding) Error() string {
	var b strings.Builder
	b.WriteString(f.Severity.String() + ": " + f.Where + " " + f.Problem)
	if f.Consequence != "" {
		b.WriteString(", so " + f.Consequence)
	}
	if f.Remedy != "" {
		b.WriteString("; remedy: " + f.Remedy)
	}
	return b.String()
}

// LogValue returns the fields as a group, by their names.
func (f Finding) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("check", f.Check), slog.String("severity", f.Severity.String()), slog.String("where", f.Where),
		slog.String("problem", f.Problem), slog.String("consequence", f.Consequence), slog.String("remedy", f.Remedy),
	)
}

// List are the problems of a program.
type List []Finding

// Log writes one line for each finding, the most serious first, at the level of its severity. It
// writes nothing if there are none.
func (f List) Log(ctx context.Context, logger *slog.Logger) {
	for _, finding := range f.sorted() {
		logger.LogAttrs(ctx, finding.Severity.Level(), "the doctor found something", slog.Any("finding", finding))
	}
}

// Err returns the grave findings as one error, or nil if there are none.
func (f List) Err() error {
	var faults []error
	for _, finding := range f {
		if finding.Severity == Grave {
			faults = append(faults, finding)
		}
	}
	return errors.Join(faults...)
}

// Without returns the findings without those of the checks, which the operator knows of and
// accepts.
func (f List) Without(checks ...string) List {
	return slices.DeleteFunc(slices.Clone(f), func(finding Finding) bool { return slices.Contains(checks, finding.Check) })
}

// String returns one line for each finding, the most serious first.
func (f List) String() string {
	var b strings.Builder
	for _, finding := range f.sorted() {
		b.WriteString(finding.Error() + "\n")
	}
	return b.String()
}

// Once returns the findings without duplicates: an extension may belong to several grants.
func (f List) Once() (once List) {
	for _, finding := range f {
		if !slices.Contains(once, finding) {
			once = append(once, finding)
		}
	}
	return once
}

func (f List) sorted() List {
	sorted := slices.Clone(f)
	slices.SortStableFunc(sorted, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return sorted
}
