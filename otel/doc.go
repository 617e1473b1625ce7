// Package otel reports an authorization server to OpenTelemetry: a span and a measurement for
// every request. It is a separate module, so that only programs that use it have its
// dependencies.
//
//	hook, err := otel.New(otel.Options{TracerProvider: traces, MeterProvider: metrics})
//	err = srv.Register(hook)
//
// Register it before other hooks that observe, such as [eventlog.Log], so that what they log
// belongs to the span. A protected API takes the same value, in resource.Config.Observers.
//
// # Spans
//
// A span is named after its endpoint, "oauth.token". It is a child of the span of the program's
// HTTP instrumentation, and the spans of database queries are its children. Its status is an
// error only if the server is at fault. It contains no secrets, and the user only if
// Options.UserIDs is set.
//
// # Metrics
//
// A stranger cannot give any attribute new values: there is no client and no user, and grant
// types and error codes are only those that are known.
//
//	oauth.server.request.duration                 histogram, seconds
//	oauth.server.tokens.issued                    counter
//	oauth.server.revocations                      counter
//	oauth.server.reuse.detected                   counter
//	oauth.server.client_authentication.failures   counter
//	oauth.server.rate_limited.requests            counter
//
// grafana-dashboard.json shows all of them, under the names that they have in Prometheus.
package otel
