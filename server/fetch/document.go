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

// Document is a fetched document.
type Document struct {
	// Body is the content of the document. It is nil if NotModified is set.
	Body []byte
	// MediaType is its media type in lower case, without parameters, or empty if the
	// response has none.
	MediaType string
	// Validator identifies this version of the document (its ETag, RFC 9110 section 8.8.3),
	// for [Request.Validator]. It is empty if the response has none.
	Validator string
	// NotModified is whether the document is still the one of [Request.Validator].
	NotModified bool
	// FreshFor is how long after its fetch the document may be used without fetching it
	// again (RFC 9111 section 4.2), limited to between a minute and a day. It is 0 if the
	// response does not say.
	FreshFor time.Duration
	// Age is how long ago it was fetched.
	Age time.Duration
}

// IsJSON reports whether the media type of the document is JSON: application/json, or one
// that ends in +json (RFC 6839 section 3.1).
func (d Document) IsJSON() bool {
	return d.MediaType == "application/json" || strings.HasPrefix(d.MediaType, "application/") && strings.HasSuffix(d.MediaType, "+json")
}

// Whatever its response says, a document is fetched again after a minute at the earliest,
// and after a day at the latest.
const (
	leastFresh   = time.Minute
	mostFresh    = 24 * time.Hour
	maxValidator = 200
	clockLeeway  = 5 * time.Second // how much clocks may differ
)

// documentOf returns a document with the fields that the header gives.
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

// freshness returns the freshness lifetime from a header (RFC 9111 section 4.2.1). says is
// whether the header gives one.
func freshness(header http.Header, now time.Time) (life time.Duration, says bool) {
	sent, age := ageOf(header, now)
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			one := seconds(strings.Trim(value, `"`)) - age
			if !says || one < life { // if there are several, the shortest counts
				life, says = one, true
			}
		}
	}
	if says || header.Get("Expires") == "" {
		return life, says
	}
	expires, err := http.ParseTime(header.Get("Expires"))
	if err != nil {
		return 0, true // section 5.3: an invalid date means expired
	}
	return expires.Sub(sent) - age, true
}

// ageOf returns when the origin server sent a document, and its age now (RFC 9111 section
// 4.2.3): it may come from a cache on the way.
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

// seconds parses delta-seconds (RFC 9111 section 1.2.2). It returns 0 for a malformed
// value, and the greatest possible value for a greater one.
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
