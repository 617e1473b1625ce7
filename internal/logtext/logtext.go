// Package logtext makes texts fit for a log.
package logtext

// grantLength is how much of a grant's id is logged: it is a digest, of which a part is enough.
const grantLength = 16

// Grant returns the part of a grant's id that is logged.
func Grant(grantID string) string { return grantID[:min(len(grantID), grantLength)] }
