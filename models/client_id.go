package models

import (
	"crypto/sha256"
	"encoding/base64"
)

// maxClientID is how long a client identifier may be that the column client_id
// holds itself. That of a metadata document is an address, and may be longer:
// client_id then holds its digest, by which rows are found, and long_client_id
// all of it.
const maxClientID = 48

// ClientKey returns what stands for a client identifier in the column client_id.
func ClientKey(clientID string) string {
	if len(clientID) <= maxClientID {
		return clientID
	}
	sum := sha256.Sum256([]byte(clientID))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// SplitClientID returns what stands for a client identifier in the columns
// client_id and long_client_id.
func SplitClientID(clientID string) (key, long string) {
	if key = ClientKey(clientID); key != clientID {
		long = clientID
	}
	return key, long
}
