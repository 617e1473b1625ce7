package server

import (
	"fmt"
	"strconv"
	"time"

	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ReadJSON reads JSON that somebody else wrote into what a pointer points to, as
// this module reads all of it: names of members are compared exactly, where
// encoding/json takes "ſcope" for "scope"; a name that an object has twice is an
// error at any depth, as is text that is not valid UTF-8, anything behind the value,
// more than 1 MiB, and more than 32 levels. After an error nothing is read.
func ReadJSON(text []byte, into any) error { return strictjson.Unmarshal(text, into) }

// NumericDate is a date in a JWT, in seconds since 1970 (RFC 7519 section 2). What
// is read may have a fraction, which is cut off, and an exponent: 1800000000.5 and
// 1.8e9 are dates. It lies between 1970 and the end of the year 9999. null is 0, as
// if there was none.
type NumericDate int64

// endOfDates is the first second of the year 10000.
const endOfDates = 253402300800

// UnmarshalJSON reads a number.
func (d *NumericDate) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*d = 0
		return nil
	}
	var number float64 // exact to less than a millisecond in this range
	if err := strictjson.Unmarshal(text, &number); err != nil {
		return err
	}
	if number < 0 || number >= endOfDates {
		return fmt.Errorf("server: %.40s is not a date between 1970 and 9999", text)
	}
	*d = NumericDate(number)
	return nil
}

// MarshalJSON writes a number without a fraction.
func (d NumericDate) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(d), 10), nil }

// Time returns the date.
func (d NumericDate) Time() time.Time { return time.Unix(int64(d), 0) }
