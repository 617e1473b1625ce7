//go:build dqlite

// The program dqlite is one node of a cluster of dqlite, as a program that embeds dqlite is:
//
//	dqlite DIRECTORY ADDRESS LATENCY [ADDRESS OF ANOTHER NODE …]
//
// The first node of a cluster names no other. A leader that has not been heard of for 15 times
// the latency is taken for lost, 0s for what dqlite has by itself. It runs until it is killed. Building it needs
// libdqlite, hence the tag.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/canonical/go-dqlite/app"
)

func main() {
	latency, err := time.ParseDuration(os.Args[3])
	if err == nil {
		err = run(os.Args[1], os.Args[2], latency, os.Args[4:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(directory, address string, latency time.Duration, others []string) error {
	options := []app.Option{app.WithAddress(address), app.WithCluster(others)}
	if latency > 0 {
		options = append(options, app.WithNetworkLatency(latency))
	}
	node, err := app.New(directory, options...)
	if err != nil {
		return err
	}
	if err := node.Ready(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}
