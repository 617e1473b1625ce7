package server

import (
	"github.com/gormoauth/gormoauth/internal/strictjson"
)

// ReadJSON decodes untrusted JSON into the value that into points to, as this module decodes all
// JSON from others. Unlike encoding/json, it compares member names exactly, where encoding/json
// takes "ſcope" for "scope". It returns an error for a member name that occurs twice in an object
// at any depth, for text that is not valid UTF-8, for anything after the value, for more than 1
// MiB, and for more than 32 levels of nesting. After an error nothing has been decoded.
func ReadJSON(text []byte, into any) error { return strictjson.Unmarshal(text, into) }
