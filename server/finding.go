package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
)

// Finding is a problem of a program, and how to fix it. It is an error, and a value for a log.
type Finding struct {
	// Check identifies the rule that was broken, such as "unique_index". It stays the same
	// between releases, see [Findings.Without].
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

// Findings are the problems of a program.
type Findings []Finding

// Log writes one line for each finding, the most serious first, at the level of its severity. It
// writes nothing if there are none.
func (f Findings) Log(ctx context.Context, logger *slog.Logger) {
	for _, finding := range f.sorted() {
		logger.LogAttrs(ctx, finding.Severity.Level(), "the doctor found something", slog.Any("finding", finding))
	}
}

// Err returns the grave findings as one error, or nil if there are none.
func (f Findings) Err() error {
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
func (f Findings) Without(checks ...string) Findings {
	return slices.DeleteFunc(slices.Clone(f), func(finding Finding) bool { return slices.Contains(checks, finding.Check) })
}

// String returns one line for each finding, the most serious first.
func (f Findings) String() string {
	var b strings.Builder
	for _, finding := range f.sorted() {
		b.WriteString(finding.Error() + "\n")
	}
	return b.String()
}

// once removes duplicates: an extension may belong to several grants.
func (f Findings) once() (once Findings) {
	for _, finding := range f {
		if !slices.Contains(once, finding) {
			once = append(once, finding)
		}
	}
	return once
}

func (f Findings) sorted() Findings {
	sorted := slices.Clone(f)
	slices.SortStableFunc(sorted, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return sorted
}
