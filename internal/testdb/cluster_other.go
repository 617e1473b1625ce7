//go:build !unix

package testdb

// startCluster knows no private server on this system, only one that
// GORMOAUTH_TEST_POSTGRES names.
func startCluster() (string, error) { return "", errNoPostgres }

func stopCluster() {}
