// Command bench measures the library beside the least that any server would
// have to do, and beside its peers, over real HTTP and on real databases.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		exit(serve(os.Args[2], os.Args[3], os.Args[4]))
	}
	exit(run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const usage = `Usage: bench [options] [compare | growth | prune | memory]

compare  all contestants, interleaved, and their races (without a word, this)
growth   the library's latency with few and with many rows
prune    the latency of issuing while expired rows are removed
memory   the library's resident size and goroutines under load

Tables are written to standard output.

`

type options struct {
	quick         bool
	slice         time.Duration
	rounds, races int
	connections   string
	contestants   string
	dir, charts   string
	profiles      string
	rows          int
	duration      time.Duration
	idle          time.Duration
}

func run() error {
	var o options
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage); flag.PrintDefaults() }
	flag.BoolVar(&o.quick, "quick", false, "a short run of everything, which only shows that all of it works")
	flag.DurationVar(&o.slice, "slice", time.Second, "how long a contestant is measured at a time")
	flag.IntVar(&o.rounds, "rounds", 5, "how many times each is measured")
	flag.IntVar(&o.races, "races", 50, "how many credentials are raced for")
	flag.StringVar(&o.connections, "connections", "1,8,64", "numbers of connections")
	flag.StringVar(&o.contestants, "contestants", "", "those to measure, all when empty")
	flag.StringVar(&o.dir, "dir", "", "where the databases are put for the time, the system's temporary directory when empty")
	flag.StringVar(&o.charts, "charts", "", "a directory for SVG charts, none when empty")
	flag.StringVar(&o.profiles, "profiles", "", "a directory for CPU profiles of the library, none when empty")
	flag.IntVar(&o.rows, "rows", 0, "rows for growth (10 million when 0) and prune (1 million)")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long memory is watched")
	flag.DurationVar(&o.idle, "idle", 20*time.Second, "how long prune measures before it prunes")
	flag.Parse()

	w, err := newWorkplace(o.dir)
	if err != nil {
		return err
	}
	defer w.close()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		w.close()
		os.Exit(1)
	}()
	postgres, err := w.startPostgres()
	if err != nil {
		return err
	}
	engines := []engine{w.sqlite("FULL"), w.sqlite("NORMAL"), postgres}
	if o.quick {
		return quick(engines[1:])
	}
	fmt.Printf("%s\n%s\n", time.Now().Format(time.DateOnly), machine(engines))
	switch flag.Arg(0) {
	case "", "compare":
		return runCompare(engines, o)
	case "growth":
		return runGrowth(engines[1:], rowsOr(o.rows, 10_000_000), 2*time.Second, 5)
	case "prune":
		return runPrune(engines[1:], rowsOr(o.rows, 1_000_000), o.idle)
	case "memory":
		return runMemory(engines[1:], o.duration)
	default:
		flag.Usage()
		return errors.New("unknown: " + flag.Arg(0))
	}
}

func rowsOr(rows, otherwise int) int {
	if rows > 0 {
		return rows
	}
	return otherwise
}

func runCompare(engines []engine, o options) error {
	p := plan{Slice: o.slice, Rounds: o.rounds, Races: o.races, Profiles: o.profiles}
	for text := range strings.SplitSeq(o.connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		p.Connections = append(p.Connections, n)
	}
	if o.contestants != "" {
		p.Only = strings.Split(o.contestants, ",")
	}
	var all []comparison
	var races []raceResult
	for _, e := range engines {
		comparisons, raced, err := compare(e, p)
		if err != nil {
			return err
		}
		all, races = append(all, comparisons...), append(races, raced...)
	}
	middle := p.Connections[len(p.Connections)/2]
	fmt.Println(comparisonTables(all, p))
	fmt.Println("\nLatency, p50 / p99 in milliseconds.\n" + latencyTable(all, middle, p))
	fmt.Println("\nRounds in which several requests got a token for one credential.\n" + raceTable(races))
	if o.charts == "" {
		return nil
	}
	if err := os.MkdirAll(o.charts, 0o755); err != nil { //nolint:gosec // charts are to be read
		return err
	}
	for _, e := range engines {
		name, err := chart(o.charts, e.name, middle, all, p)
		if err != nil {
			return err
		}
		fmt.Println("![" + e.name + "](" + filepath.ToSlash(filepath.Join(o.charts, name)) + ")")
	}
	return nil
}

func runGrowth(engines []engine, many int, slice time.Duration, rounds int) error {
	var all []growthResult
	for _, e := range engines {
		results, err := grow(e, min(many, 10_000), many, slice, rounds)
		if err != nil {
			return err
		}
		all = append(all, results...)
	}
	fmt.Println(growthTable(all))
	return nil
}

func runPrune(engines []engine, rows int, idle time.Duration) error {
	var all []pruneResult
	for _, e := range engines {
		result, err := prune(e, rows, idle)
		if err != nil {
			return err
		}
		all = append(all, result)
	}
	fmt.Println(pruneTable(all))
	return nil
}

func runMemory(engines []engine, duration time.Duration) error {
	var all []memoryResult
	for _, e := range engines {
		result, err := remember(e, duration)
		if err != nil {
			return err
		}
		all = append(all, result)
	}
	fmt.Println(memoryTable(all))
	return nil
}

// quick runs everything for a moment. A credential that the library lets
// anyone use twice is an error.
func quick(engines []engine) error {
	p := plan{Slice: 100 * time.Millisecond, Rounds: 1, Races: 5, Connections: []int{8}}
	for _, c := range contestants {
		if c.name != "fosite" { // a password hash for each call takes its time
			p.Only = append(p.Only, c.name)
		}
	}
	for _, e := range engines {
		comparisons, races, err := compare(e, p)
		if err != nil {
			return err
		}
		fmt.Println(comparisonTables(comparisons, p), raceTable(races))
		for _, r := range races {
			if r.Contestant == "gormoauth" && r.Double > 0 {
				return fmt.Errorf("on %s, a %s was used twice", e.name, r.Credential)
			}
		}
	}
	return errors.Join(runGrowth(engines, 20_000, 100*time.Millisecond, 1), runPrune(engines, 5_000, 500*time.Millisecond), runMemory(engines, time.Second))
}
