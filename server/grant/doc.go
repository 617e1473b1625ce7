// Package grant has the grants and their extensions, each in a file of its name. They use
// only the exported API of package server.
package grant
