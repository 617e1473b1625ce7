package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gormoauth/gormoauth/server"
)

// Whoever is told to come back later is told when, and that nobody made a mistake.
func TestPagesSayWhenToComeBack(t *testing.T) {
	t.Parallel()
	p := startProgram(t)
	flood := p.visitFrom(t, "127.0.0.2")
	documents := func(i int) answer { // of clients that nobody knows
		return flood.get("/oauth/authorize?response_type=code&client_id=" + url.QueryEscape(fmt.Sprintf("https://127.0.0.1:1/%d", i)))
	}
	alice := p.signedIn(t, "alice", "wonderland")
	devices := func(int) answer { return alice.post("/device", form("user_code", "BCDF-GHJK")) }
	for name, page := range map[string]struct {
		ask  func(i int) answer
		says string
	}{
		"authorization": {documents, "These were many attempts"}, "device": {devices, "Too many codes were tried. Please try again later."},
	} {
		first := page.ask(0)
		first.want(t, http.StatusBadRequest)
		last := first
		for i := 1; last.status != http.StatusTooManyRequests; i++ {
			if last = page.ask(i); i > 400 {
				t.Fatalf("%s: nothing ends it", name)
			}
		}
		last.want(t, http.StatusTooManyRequests, page.says)
		if last.header.Get("Retry-After") == "" {
			t.Errorf("%s: nobody is told when to try again", name)
		}
		if strings.Contains(last.body, "The application that sent you here made a mistake") {
			t.Errorf("%s: the application is to blame:\n%s", name, last.body)
		}
	}
}

// A page blames the application for what it did, and for nothing else.
func TestWhomAnErrorPageBlames(t *testing.T) {
	t.Parallel()
	pages, err := newPages(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{pages: pages}
	for heading, failure := range map[string]*server.Error{
		"This request cannot be answered": server.NewError(server.InvalidRequest, "x"),
		"These were many attempts":        server.TooManyRequests(time.Minute, "x"),
		"We are busy just now":            server.TooBusy(time.Minute, "x"),
		"Something went wrong":            server.NewError(server.ServerError, "x"),
	} {
		w := httptest.NewRecorder()
		a.oauthErrorPage(w, nil, server.ErrorPage{Error: failure, Description: "x"})
		blames := strings.Contains(w.Body.String(), "made a mistake")
		if !strings.Contains(w.Body.String(), "<h1>"+heading) || w.Code != failure.Status || blames != (failure.Status == http.StatusBadRequest) {
			t.Errorf("%d, want %q:\n%s", w.Code, heading, w.Body)
		}
	}
}
