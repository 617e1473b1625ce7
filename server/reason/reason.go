// Package reason is why something was refused, for the log and not for the client.
package reason

import "log/slog"

// Reason is why something was refused. It is only logged.
type Reason struct {
	// Text says why, in constant words, such as "the client secret is wrong".
	Text string
	// Values are what the reason is about, such as a redirect URI that is not registered. They
	// must never be a secret, a code or a token. They may be untrusted text: the log limits their
	// length and prints them on one line.
	Values []slog.Attr
}

// New returns a [Reason] with the text and values.
func New(text string, values ...slog.Attr) *Reason { return &Reason{text, values} }

// Error returns the text.
func (r *Reason) Error() string { return r.Text }
