package storage

// CredentialRecord is the stored row behind a credential.
type CredentialRecord interface {
	// CheckClient reports whether the row was made for the client.
	CheckClient(clientID string) bool
	// GetGrantID returns the id of the grant, which is shared by everything that one
	// authorization led to.
	GetGrantID() string
}
