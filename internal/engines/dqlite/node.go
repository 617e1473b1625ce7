//go:build dqlite

// The program dqlite is one node of a cluster of dqlite, as a program that embeds dqlite is:
//
//	dqlite DIRECTORY ADDRESS [ADDRESS OF ANOTHER NODE …]
//
// The first node of a cluster names no other. It runs until it is killed. Building it needs
// libdqlite, hence the tag.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/canonical/go-dqlite/app"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(directory, address string, others []string) error {
	node, err := app.New(directory, app.WithAddress(address), app.WithCluster(others))
	if err != nil {
		return err
	}
	if err := node.Ready(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}
