package server

// ResourceServer is implemented by a client that is itself an API, such as [models.ClientMixin].
type ResourceServer interface {
	// GetAPIResources returns the resources for which the client is the API, nil if there are
	// none.
	GetAPIResources() []string
}
