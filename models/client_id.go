package models

import (
	"crypto/sha256"
	"encoding/base64"
)

// maxClientID is the length of the longest client identifier that the column client_id
// holds as it is. The identifier of a client with a metadata document is a URL and may be
// longer: client_id then holds its digest, by which rows are found, and long_client_id
// holds all of it.
const maxClientID = 48

// ClientKey returns the value of the column client_id for a client identifier: the
// identifier itself up to 48 bytes, otherwise "#" and the SHA-256 digest of it in
// base64url.
func ClientKey(clientID string) string {
	if len(clientID) <= maxClientID {
		return clientID
	}
	sum := sha256.Sum256([]byte(clientID))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// SplitClientID returns the values of the columns client_id and long_client_id for a
// client identifier. long is empty when the column client_id holds the identifier itself.
func SplitClientID(clientID string) (key, long string) {
	if key = ClientKey(clientID); key != clientID {
		long = clientID
	}
	return key, long
}
