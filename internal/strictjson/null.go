package strictjson

import "bytes"

// IsNull reports whether a text is the JSON value null.
func IsNull(text []byte) bool { return string(bytes.TrimSpace(text)) == "null" }
