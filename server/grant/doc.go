// Package grant has the grants and their extensions, each in the file of its
// name, built on what package server exports.
package grant
