// Package otel tells OpenTelemetry of an authorization server: a span and a
// measurement for every request. It is a module of its own, so that nobody else
// has its dependencies.
//
//	hook, err := otel.New(otel.Options{TracerProvider: traces, MeterProvider: metrics})
//	err = srv.Register(hook)
//
// Register it before other hooks that observe, such as [server.EventLog]: what
// they log then belongs to the span. A protected API takes the same value, in
// resource.Config.Observers.
//
// # Spans
//
// A span is named after its endpoint, "oauth.token". It lies within the one that
// the program's HTTP instrumentation began, and those of database queries lie
// within it. Its status is an error only where the server is at fault. It has no
// secret, and users only by option.
//
// # Metrics
//
// None has an attribute that a stranger can give new values: no client, no user,
// and of grant types and error codes only those that are known.
//
//	oauth.server.request.duration                 histogram, seconds
//	oauth.server.tokens.issued                    counter
//	oauth.server.revocations                      counter
//	oauth.server.reuse.detected                   counter
//	oauth.server.client_authentication.failures   counter
//	oauth.server.rate_limited.requests            counter
//
// grafana-dashboard.json shows all of them, under the names that Prometheus has
// for them.
package otel
