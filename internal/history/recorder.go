package history

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Recorder keeps the calls of many clients. Its methods may be called by many
// goroutines.
type Recorder struct {
	grace bool
	began time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	crashes    []crash
}

// crash is when a server crashed: some time between the two.
type crash struct{ after, before int64 }

// Crash notes that f crashes a server which shows a change before it is durable, as InnoDB does.
// What was read of a change that was under way may then be lost, and the change made again.
func (r *Recorder) Crash(f func()) {
	start := time.Since(r.began)
	f()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crashes = append(r.crashes, crash{int64(start), int64(time.Since(r.began))})
}

// durable leaves out what was read before a crash while a change was under way that the crash
// interrupted.
func (r *Recorder) durable(operations []porcupine.Operation) []porcupine.Operation {
	isLost := func(read porcupine.Operation) bool {
		return read.Input.(Call).Op == Validate && slices.ContainsFunc(r.crashes, func(c crash) bool {
			return read.Call < c.before && slices.ContainsFunc(operations, func(o porcupine.Operation) bool {
				return o.Input.(Call).Op != Validate && o.Call < min(c.before, read.Return) && o.Return > max(c.after, read.Call)
			})
		})
	}
	return slices.DeleteFunc(slices.Clone(operations), isLost)
}

// NewRecorder returns an empty recorder. With grace, the server repeats the
// answer to a rotation whose successor is not used yet.
func NewRecorder(grace bool) *Recorder { return &Recorder{grace: grace, began: time.Now()} }

// Do makes a call and writes it down.
func (r *Recorder) Do(client int, call Call, f func() Answer) Answer {
	return r.do(client, f, call)
}

// DoAll makes a call that ends the first so many grants, and writes it down for each.
func (r *Recorder) DoAll(client, grants int, f func() Answer) Answer {
	var calls []Call
	for i := range grants {
		calls = append(calls, Call{Grant: i, Op: Mark}, Call{Grant: i, Op: End})
	}
	return r.do(client, f, calls...)
}

func (r *Recorder) do(client int, f func() Answer, calls ...Call) Answer {
	start := time.Since(r.began)
	answer := f()
	end := time.Since(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, call := range calls {
		if answer.Outcome == Unknown {
			if call.Op == Validate {
				continue // it changed nothing and told nothing
			}
			end = math.MaxInt64
		}
		r.operations = append(r.operations, porcupine.Operation{
			ClientId: client, Input: call, Output: answer, Call: int64(start), Return: int64(end),
		})
	}
	return answer
}

// Count returns how many calls had each outcome.
func (r *Recorder) Count() map[Op]map[Outcome]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := make(map[Op]map[Outcome]int)
	for _, operation := range r.operations {
		op := operation.Input.(Call).Op
		if counts[op] == nil {
			counts[op] = make(map[Outcome]int)
		}
		counts[op][operation.Output.(Answer).Outcome]++
	}
	return counts
}

// Check returns nil when there is an order that explains every answer, and
// otherwise an error that tells the calls of a grant which has none. It gives
// up on a grant that takes longer than the timeout, which is an error, too.
func (r *Recorder) Check(timeout time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	grants := make(map[int][]porcupine.Operation)
	for _, operation := range r.operations {
		id := operation.Input.(Call).Grant
		grants[id] = append(grants[id], operation)
	}
	for id, operations := range grants {
		result, info := porcupine.CheckOperationsVerbose(model(r.grace), r.durable(operations), timeout)
		if result != porcupine.Ok {
			return fmt.Errorf("history: grant %d: %s\n%s", id, verdicts[result], tell(operations, &info))
		}
	}
	return nil
}

var verdicts = map[porcupine.CheckResult]string{
	porcupine.Illegal: "no order explains what its clients were told",
	porcupine.Unknown: "it takes too long to find an order that explains what its clients were told",
}

// tell lists the calls by their start. Those of the longest order that was
// found have a number; the first without one is where to look.
func tell(operations []porcupine.Operation, info *porcupine.LinearizationInfo) string {
	place := make(map[porcupine.Operation]int)
	for _, partition := range info.PartialLinearizationsOperations() {
		var longest []porcupine.Operation
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
		for i, operation := range longest {
			place[key(operation)] = i + 1
		}
	}
	slices.SortFunc(operations, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var lines []string
	for _, operation := range operations {
		end := "?"
		if operation.Return != math.MaxInt64 {
			end = time.Duration(operation.Return).String()
		}
		position := "  -"
		if n := place[key(operation)]; n > 0 {
			position = fmt.Sprintf("%3d", n)
		}
		lines = append(lines, fmt.Sprintf("%s  %v to %s  client %d  %s", position, time.Duration(operation.Call), end,
			operation.ClientId, describe(operation.Input, operation.Output)))
	}
	return strings.Join(lines, "\n")
}

// key is what names an operation: a client makes one call at a time.
func key(operation porcupine.Operation) porcupine.Operation {
	return porcupine.Operation{ClientId: operation.ClientId, Call: operation.Call}
}
