package history

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// System is a server, or one of its instances, as a client sees it.
type System interface {
	// Authorize has a user grant the client a code; empty when that failed.
	Authorize() (code string)
	Redeem(code string) Answer
	Rotate(refresh string) Answer
	// Revoke revokes a token of either kind.
	Revoke(token string) Answer
	Validate(access string) Answer
}

// Exchanger is a [System] at which another client exchanges access tokens (RFC 8693).
type Exchanger interface {
	Exchange(access string) Answer
}

// Ender is a [System] at which all grants of the workload can be ended at once, such as those
// of its user, or of its client.
type Ender interface {
	End() Answer
}

// Workload is what many clients do at once: they redeem, use, rotate and
// revoke, and now and then present what is spent, be it a thief or a retry.
type Workload struct {
	// Systems are the instances, which all have the same database. Each call
	// goes to one of them.
	Systems []System
	// Clients is how many work at once, 8 when 0.
	Clients int
	// Grants is how many grants there are in all; 0 is as many as fit in
	// before the context ends.
	Grants int
	// Calls is about how many calls are made for each grant, 20 when 0.
	Calls int
	// Settle returns when whatever was made to fail is well again.
	Settle func()
}

// Run works until all grants have had their calls or the context ends, asks
// for every token once more at the end, and writes it all down.
func (w Workload) Run(ctx context.Context, recorder *Recorder) {
	if w.Clients == 0 {
		w.Clients = 8
	}
	if w.Calls == 0 {
		w.Calls = 20
	}
	// As many grants are under way as there are pairs of clients, so that two
	// often meet at one.
	p := &pool{workload: w, recorder: recorder, open: make([]*holding, max(1, w.Clients/2))}
	var group sync.WaitGroup
	for client := range w.Clients {
		group.Go(func() {
			for ctx.Err() == nil {
				if p.work(client) {
					continue
				}
				if p.finished() {
					return
				}
				time.Sleep(10 * time.Millisecond) // the system is away
			}
		})
	}
	group.Wait()
	if w.Settle != nil {
		w.Settle()
	}
	p.lookAgain()
}

// pool is the grants that are under way, and those that had their calls.
type pool struct {
	workload Workload
	recorder *Recorder

	mu     sync.Mutex
	open   []*holding
	all    []*holding // by the number of the grant
	ending int        // how many ends are under way, beside which no grant begins
}

// holding is what the clients hold of one grant, the newest last.
type holding struct {
	grant           int
	code            string
	calls           int
	access, refresh []string
	exchanged       []string // what another client got
	// exchanging is whether a call for its next tokens is under way.
	exchanging bool
}

// work makes one call, and reports whether there may be more.
func (p *pool) work(client int) bool {
	system := p.workload.Systems[rand.IntN(len(p.workload.Systems))] //nolint:gosec // not a secret
	h := p.pick(system)
	if h == nil {
		return false
	}
	if ender, ok := system.(Ender); ok && rand.IntN(endOneIn) == 0 { //nolint:gosec // not a secret
		p.end(client, ender)
		return true
	}
	p.mu.Lock()
	call := h.next()
	if _, ok := system.(Exchanger); !ok && call.Op == Exchange {
		call.Op = Validate
	}
	p.mu.Unlock()
	if call.Op == "" {
		time.Sleep(time.Millisecond)
		return true
	}
	answer := p.recorder.Do(client, call, func() Answer { return ask(system, call, h.code) })
	p.mu.Lock()
	defer p.mu.Unlock()
	h.learn(call, answer)
	return true
}

// endOneIn is how many calls there are to one that ends all grants.
const endOneIn = 150

// end ends all grants that have begun.
func (p *pool) end(client int, ender Ender) {
	p.mu.Lock()
	p.ending++
	all := len(p.all)
	p.mu.Unlock()
	p.recorder.DoAll(client, all, func() Answer { return ender.End() })
	p.mu.Lock()
	p.ending--
	p.mu.Unlock()
}

// pick returns a grant that has not had all its calls, a new one if need be,
// or nil when there is nothing left to do or the system is away.
func (p *pool) pick(system System) *holding {
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := rand.IntN(len(p.open)) //nolint:gosec // not a secret
	for range p.open {
		slot = (slot + 1) % len(p.open)
		h := p.open[slot]
		if h == nil || h.calls == p.workload.Calls {
			h = p.begin(slot, system)
		}
		if h != nil {
			h.calls++
			return h
		}
	}
	return nil
}

// finished reports whether all grants have begun: what is not picked then is
// done with.
func (p *pool) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workload.Grants > 0 && len(p.all) == p.workload.Grants
}

// begin puts a new grant in a slot.
func (p *pool) begin(slot int, system System) *holding {
	if p.ending > 0 {
		return nil
	}
	p.open[slot] = nil
	if p.workload.Grants > 0 && len(p.all) == p.workload.Grants {
		return nil
	}
	code := system.Authorize()
	if code == "" {
		return nil
	}
	p.open[slot] = &holding{grant: len(p.all), code: code}
	p.all = append(p.all, p.open[slot])
	return p.open[slot]
}

// next chooses what to do with the grant, which may be to wait. Now and then it
// is what a thief, a second tab or an impatient client does.
func (h *holding) next() Call {
	newest, some := len(h.access)-1, 0
	if newest > 0 {
		some = rand.IntN(newest) //nolint:gosec // not a secret
	}
	dice := rand.IntN(100) //nolint:gosec // not a secret
	switch {
	case newest < 0 && h.exchanging && dice > 5:
		h.calls--
		return Call{}
	case newest < 0, dice < 2:
		h.exchanging = true
		return Call{h.grant, Redeem, ""}
	case dice < 35 && (!h.exchanging || dice < 5):
		h.exchanging = true
		return Call{h.grant, Rotate, h.refresh[newest]}
	case dice < 45:
		return Call{h.grant, Exchange, h.access[newest]}
	case dice < 55 && len(h.exchanged) > 0:
		return Call{h.grant, Validate, h.exchanged[rand.IntN(len(h.exchanged))]} //nolint:gosec // not a secret
	case dice < 75:
		return Call{h.grant, Validate, h.access[newest]}
	case dice < 90:
		return Call{h.grant, Validate, h.access[some]}
	case dice < 94:
		return Call{h.grant, Withdraw, h.access[newest]}
	case dice < 95:
		return Call{h.grant, Withdraw, h.access[some]}
	case dice < 98:
		return Call{h.grant, Rotate, h.refresh[some]}
	default:
		return Call{h.grant, Revoke, h.refresh[some]}
	}
}

func (h *holding) learn(call Call, answer Answer) {
	if call.Op == Redeem || call.Op == Rotate {
		h.exchanging = false
	}
	if call.Op == Exchange {
		if answer.Access != "" {
			h.exchanged = append(h.exchanged, answer.Access)
		}
		return
	}
	if answer.Access != "" && !slices.Contains(h.access, answer.Access) {
		h.access, h.refresh = append(h.access, answer.Access), append(h.refresh, answer.Refresh)
	}
}

func ask(system System, call Call, code string) Answer {
	switch call.Op {
	case Redeem:
		return system.Redeem(code)
	case Rotate:
		return system.Rotate(call.Token)
	case Validate:
		return system.Validate(call.Token)
	case Exchange:
		return system.(Exchanger).Exchange(call.Token)
	default:
		return system.Revoke(call.Token)
	}
}

// lookAgain asks for every access token, and rotates the newest refresh token,
// of every grant: what was acknowledged is there, and what was ended is not.
func (p *pool) lookAgain() {
	for i, h := range p.all {
		var calls []Call
		for _, access := range append(slices.Clone(h.access), h.exchanged...) {
			calls = append(calls, Call{h.grant, Validate, access})
		}
		if len(h.refresh) > 0 {
			calls = append(calls, Call{h.grant, Rotate, h.refresh[len(h.refresh)-1]})
		}
		for _, call := range calls {
			p.insist(p.workload.Systems[i%len(p.workload.Systems)], call)
		}
	}
}

// insist waits for a system that is away.
func (p *pool) insist(system System, call Call) {
	const patience, pause = 20, 100 * time.Millisecond
	for range patience {
		answer := p.recorder.Do(p.workload.Clients, call, func() Answer { return ask(system, call, "") })
		if answer.Outcome != Unknown {
			return
		}
		time.Sleep(pause)
	}
}
