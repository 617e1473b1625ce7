package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func get(target string) *http.Request {
	return httptest.NewRequest(http.MethodGet, target, http.NoBody)
}

func queryEscape(s string) string { return url.QueryEscape(s) }
