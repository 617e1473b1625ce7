package fetch

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Document is what was fetched.
type Document struct {
	// Body is the document; nil where it is NotModified.
	Body []byte
	// MediaType is its media type in lowercase, without parameters; empty when it
	// names none.
	MediaType string
	// Validator tells this document from others at its address (its ETag, RFC 9110
	// section 8.8.3), for [Request.Validator]; empty when it has none.
	Validator string
	// NotModified is whether the address still has the document of
	// [Request.Validator].
	NotModified bool
	// FreshFor is how long after its fetch the document may be used without asking
	// again (RFC 9111 section 4.2), held between a minute and a day; 0 when it does not
	// say.
	FreshFor time.Duration
	// Age is how long ago it was fetched.
	Age time.Duration
}

// IsJSON reports whether the document says that it is JSON: application/json, or a
// media type that ends in +json (RFC 6839 section 3.1).
func (d Document) IsJSON() bool {
	return d.MediaType == "application/json" || strings.HasPrefix(d.MediaType, "application/") && strings.HasSuffix(d.MediaType, "+json")
}

// A document is fetched again after a minute at the soonest, whatever it says, and after
// a day at the latest.
const (
	leastFresh   = time.Minute
	mostFresh    = 24 * time.Hour
	maxValidator = 200
)

// documentOf reads what a header says of its document.
func documentOf(header http.Header, now time.Time) Document {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	document := Document{MediaType: mediaType}
	if tag := header.Get("ETag"); len(tag) <= maxValidator && !strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r > '~' }) {
		document.Validator = tag
	}
	if life, says := freshness(header, now); says {
		document.FreshFor = min(max(life, leastFresh), mostFresh)
	}
	return document
}

// freshness returns the lifetime that a header gives its document (RFC 9111 section
// 4.2.1), and whether it gives one.
func freshness(header http.Header, now time.Time) (life time.Duration, says bool) {
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			life, says = seconds(strings.Trim(value, `"`))-seconds(header.Get("Age")), true
		}
	}
	if says || header.Get("Expires") == "" {
		return life, says
	}
	expires, err := http.ParseTime(header.Get("Expires"))
	if err != nil {
		return 0, true // section 5.3: what is no date has expired
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent
	}
	return expires.Sub(now), true
}

// seconds reads a delta of seconds (RFC 9111 section 1.2.2), 0 for what is none.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
