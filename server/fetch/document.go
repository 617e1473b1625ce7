package fetch

import (
	"errors"
	"math"
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
	clockLeeway  = 5 * time.Second // by which clocks may differ
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
	sent, age := ageOf(header, now)
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			one := seconds(strings.Trim(value, `"`)) - age
			if !says || one < life { // of two that differ none is longer than the other
				life, says = one, true
			}
		}
	}
	if says || header.Get("Expires") == "" {
		return life, says
	}
	expires, err := http.ParseTime(header.Get("Expires"))
	if err != nil {
		return 0, true // section 5.3: what is no date has expired
	}
	return expires.Sub(sent) - age, true
}

// ageOf returns when a document was sent by whoever has it, and how old it is by now
// (RFC 9111 section 4.2.3): it may come from a cache on the way.
func ageOf(header http.Header, now time.Time) (sent time.Time, age time.Duration) {
	age = seconds(header.Get("Age"))
	sent, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return now, age
	}
	if apparent := now.Sub(sent).Truncate(time.Second); apparent > clockLeeway {
		age = max(age, apparent)
	}
	return sent, age
}

// seconds reads a delta of seconds (RFC 9111 section 1.2.2): 0 for what is none, and the
// greatest that there is for one that is greater.
func seconds(text string) time.Duration {
	const greatest = math.MaxInt32
	n, err := strconv.ParseUint(text, 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return greatest * time.Second
	case err != nil:
		return 0
	}
	return time.Duration(n) * time.Second
}
