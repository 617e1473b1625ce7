package main

import (
	"fmt"
	"net/http"
	"sync"
)

// raceResult is how often several parallel requests got a token for one
// credential.
type raceResult struct {
	Engine, Contestant, Credential string
	Parallel, Rounds, Double       int
}

// raceOnly races the contestants of one engine and measures nothing.
func raceOnly(e engine, p plan) ([]raceResult, error) {
	running, err := startAll(e, p)
	defer stopAll(running)
	if err != nil {
		return nil, err
	}
	return raceAll(e, p, running)
}

// raceAll has each contestant asked for one credential's token by 2 and by 8
// requests at once.
func raceAll(e engine, p plan, running []*process) ([]raceResult, error) {
	var all []raceResult
	for _, r := range running {
		c := newCaller(r.address, 8)
		for _, parallel := range []int{2, 8} {
			for _, credential := range []string{"code", "refresh token"} {
				double, err := race(c, credential, parallel, p.Races)
				if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", r.name, e.name, err)
				}
				all = append(all, raceResult{e.name, r.name, credential, parallel, p.Races, double})
			}
		}
	}
	return all, nil
}

func race(c *caller, credential string, parallel, rounds int) (double int, err error) {
	for range rounds {
		codes, err := c.seeds(codeSeed, 1)
		if err != nil {
			return 0, err
		}
		form := codeForm(codes[0])
		if credential != "code" {
			t, err := c.mustToken(tokenPath, form)
			if err != nil {
				return 0, err
			}
			form = refreshForm(t.Refresh)
		}
		var group sync.WaitGroup
		statuses := make([]int, parallel)
		ready := make(chan struct{})
		for i := range statuses {
			group.Go(func() {
				<-ready
				_, statuses[i], _ = c.token(tokenPath, form)
			})
		}
		close(ready)
		group.Wait()
		winners := 0
		for _, status := range statuses {
			if status == http.StatusOK {
				winners++
			}
		}
		if winners > 1 {
			double++
		}
	}
	return double, nil
}

// usedTwice is the error of a library that lets a credential be used twice.
func usedTwice(all []raceResult) error {
	for _, r := range all {
		if r.Contestant == own && r.Double > 0 {
			return fmt.Errorf("on %s, a %s was used twice", r.Engine, r.Credential)
		}
	}
	return nil
}
