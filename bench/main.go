// Command bench measures the library beside the least that any server would
// have to do, and beside its peers, over real HTTP and on real databases.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

const usage = `Usage: bench [options] [compare | race | growth | prune | revoke | scale | memory]

compare  all contestants, interleaved, and their races (without a word, this)
race     the races alone
growth   the library's latency with few and with many rows
prune    the latency of issuing while expired rows are removed
revoke   how long it takes to end all grants of a large client
scale    sizes, rates and latencies with 10^5, 10^6 and 10^7 users, on PostgreSQL
memory   the library's resident size and goroutines under load

Tables are written to standard output, and what goes on to standard error.

`

type options struct {
	quick         bool
	slice         time.Duration
	rounds, races int
	connections   string
	contestants   string
	operations    string
	engines       string
	dir, charts   string
	out           string
	profiles      string
	rows          int
	duration      time.Duration
	idle          time.Duration
	settings      string
	spread        bool
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
	flag.StringVar(&o.operations, "operations", "", "what to measure, all when empty: "+strings.Join(every, ","))
	flag.StringVar(&o.engines, "engines", "", "on what, all when empty, of full and normal, which are SQLite by its synchronous, and postgres")
	flag.StringVar(&o.dir, "dir", "", "where the databases are put for the time, the system's temporary directory when empty")
	flag.StringVar(&o.charts, "charts", "", "a directory for SVG charts, none when empty")
	flag.StringVar(&o.out, "out", "", "a file for the tables as well, none when empty")
	flag.StringVar(&o.profiles, "profiles", "", "a directory for CPU profiles of the library and the floor, none when empty")
	flag.IntVar(&o.rows, "rows", 0, "rows for growth (10 million when 0), prune and revoke (1 million), users for scale")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long memory is watched")
	flag.DurationVar(&o.idle, "idle", 20*time.Second, "how long prune measures before it prunes")
	flag.StringVar(&o.settings, "settings", "", "settings of PostgreSQL, such as 'shared_buffers=6GB wal_compression=on'")
	flag.BoolVar(&o.spread, "spread", false, "for scale: the expired rows lie all over the table, not together as time makes them")
	flag.Parse()
	word := flag.Arg(0)
	if flag.NArg() > 1 { // options may follow the word
		if err := flag.CommandLine.Parse(flag.Args()[1:]); err != nil {
			return err
		}
	}

	w, err := newWorkplace(o.dir)
	if err != nil {
		return err
	}
	defer w.close()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-interrupted
		w.close()
		os.Exit(1)
	}()
	out, err := newOutput(o.out)
	if err != nil {
		return err
	}
	defer out.Close()
	postgres, err := w.startPostgres(strings.Fields(o.settings)...)
	if err != nil {
		return err
	}
	besidePeers := word == "" || word == "compare" || word == "race"
	if besidePeers && (o.contestants == "" || strings.Contains(o.contestants, oidcProviderName)) {
		if postgres.oidcProvider, err = w.installOIDCProvider(); err != nil {
			progress("%s is left out: %v", oidcProviderName, err)
		}
	}
	engines := []engine{w.sqlite("FULL"), w.sqlite("NORMAL"), postgres}
	switch {
	case o.quick:
		return quick(out, engines[1:])
	case o.engines != "":
		if engines, err = enginesNamed(engines, strings.Split(o.engines, ",")); err != nil {
			return err
		}
	case !besidePeers:
		engines = engines[1:]
	}
	fmt.Fprintf(out, "%s\n%s\n", time.Now().Format(time.DateOnly), machine(w, engines))
	switch word {
	case "", "compare":
		return runCompare(out, engines, o)
	case "race":
		return runRaces(out, engines, o)
	case "growth":
		return runGrowth(out, engines, rowsOr(o.rows, 10_000_000), 2*time.Second, 5)
	case "prune":
		return runPrune(out, engines, rowsOr(o.rows, 1_000_000), o.idle)
	case "revoke":
		return runRevoke(out, engines, rowsOr(o.rows, 1_000_000))
	case "scale":
		sizes := []int{100_000, 1_000_000, 10_000_000}
		if o.rows > 0 {
			sizes = []int{o.rows}
		}
		return runScale(out, engines, sizes, 5*time.Second, o.spread)
	case "memory":
		return runMemory(out, engines, o.duration)
	default:
		flag.Usage()
		return errors.New("unknown: " + word)
	}
}

// newOutput returns standard output, or what also writes to a file.
func newOutput(path string) (io.WriteCloser, error) {
	if path == "" {
		return os.Stdout, nil
	}
	file, err := os.Create(path) //nolint:gosec // the operator's choice
	if err != nil {
		return nil, err
	}
	return struct {
		io.Writer
		io.Closer
	}{io.MultiWriter(os.Stdout, file), file}, nil
}

func rowsOr(rows, otherwise int) int {
	if rows > 0 {
		return rows
	}
	return otherwise
}

func (o options) plan() (plan, error) {
	p := plan{Slice: o.slice, Rounds: o.rounds, Races: o.races, Profiles: o.profiles}
	for text := range strings.SplitSeq(o.connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return p, err
		}
		p.Connections = append(p.Connections, n)
	}
	var err error
	if p.Operations = operations; o.operations != "" {
		if p.Operations, err = operationsNamed(strings.Split(o.operations, ",")); err != nil {
			return p, err
		}
	}
	if o.contestants != "" {
		p.Only = strings.Split(o.contestants, ",")
		for _, name := range p.Only {
			if _, err := find(name); err != nil {
				return p, err
			}
		}
	}
	for _, dir := range []string{o.charts, o.profiles} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // they are to be read
			return p, err
		}
	}
	return p, nil
}

func runCompare(out io.Writer, engines []engine, o options) error {
	p, err := o.plan()
	if err != nil {
		return err
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
	fmt.Fprintln(out, missed(all, p))
	fmt.Fprintln(out, comparisonTables(all, p))
	fmt.Fprintln(out, "\nLatency, p50 / p99 in milliseconds.\n"+latencyTable(all, middle, p))
	fmt.Fprintln(out, racesTitle+raceTable(races))
	if o.charts != "" {
		for _, e := range engines {
			name, err := chart(o.charts, e.name, middle, all, p)
			if err != nil {
				return err
			}
			fmt.Fprintln(out, "!["+e.name+"]("+filepath.ToSlash(filepath.Join(o.charts, name))+")")
		}
	}
	return usedTwice(races)
}

const racesTitle = "\nRounds in which several requests got a token for one credential.\n"

func runRaces(out io.Writer, engines []engine, o options) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	var all []raceResult
	for _, e := range engines {
		races, err := raceOnly(e, p)
		if err != nil {
			return err
		}
		all = append(all, races...)
	}
	fmt.Fprintln(out, racesTitle+raceTable(all))
	return usedTwice(all)
}

func runGrowth(out io.Writer, engines []engine, many int, slice time.Duration, rounds int) error {
	var all []growthResult
	for _, e := range engines {
		results, err := grow(e, min(many, 10_000), many, slice, rounds)
		if err != nil {
			return err
		}
		all = append(all, results...)
	}
	fmt.Fprintln(out, growthTable(all))
	return nil
}

func runPrune(out io.Writer, engines []engine, rows int, idle time.Duration) error {
	var all []pruneResult
	for _, e := range engines {
		for _, beside := range []bool{false, true} {
			result, err := prune(e, rows, idle, beside)
			if err != nil {
				return err
			}
			all = append(all, result)
			fmt.Fprintln(os.Stderr, pruneTable(all[len(all)-1:])) // it takes long
		}
	}
	fmt.Fprintln(out, pruneTable(all))
	return nil
}

func runMemory(out io.Writer, engines []engine, duration time.Duration) error {
	var all []memoryResult
	for _, e := range engines {
		result, err := remember(e, duration)
		if err != nil {
			return err
		}
		all = append(all, result)
	}
	fmt.Fprintln(out, memoryTable(all))
	return nil
}

// quick runs everything for a moment.
func quick(out io.Writer, engines []engine) error {
	p := plan{Slice: 50 * time.Millisecond, Rounds: 1, Races: 3, Connections: []int{8}, Operations: operations}
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
		fmt.Fprintln(out, comparisonTables(comparisons, p), raceTable(races))
		if err := usedTwice(races); err != nil {
			return err
		}
	}
	return errors.Join(runGrowth(out, engines, 20_000, 50*time.Millisecond, 1), runPrune(out, engines, 5_000, 500*time.Millisecond), runScale(out, engines, []int{2_000}, 50*time.Millisecond, false), runMemory(out, engines, time.Second))
}
