package otel

import (
	"context"
	"errors"
	"net/http"

	"go.opentelemetry.io/otel/metric"

	"github.com/gormoauth/gormoauth/server"
)

// instruments are the instruments that measure requests.
type instruments struct {
	duration                                      metric.Float64Histogram
	issued, revoked, reused, refused, rateLimited metric.Int64Counter
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	var faults []error
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		faults = append(faults, err)
		return c
	}
	duration, err := meter.Float64Histogram("oauth.server.request.duration", metric.WithUnit("s"),
		metric.WithDescription("How long requests took."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	faults = append(faults, err)
	all := &instruments{
		duration:    duration,
		issued:      counter("oauth.server.tokens.issued", "{token}", "Tokens that were issued."),
		revoked:     counter("oauth.server.revocations", "{revocation}", "Tokens and grants that were revoked."),
		reused:      counter("oauth.server.reuse.detected", "{grant}", "Grants that ended because a code or refresh token was presented again."),
		refused:     counter("oauth.server.client_authentication.failures", "{request}", "Requests whose client failed to authenticate."),
		rateLimited: counter("oauth.server.rate_limited.requests", "{request}", "Requests that a rate limit refused."),
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	// If a counter began with 1, Prometheus would not see the first increase.
	all.revoked.Add(context.Background(), 0)
	all.reused.Add(context.Background(), 0)
	return all, nil
}

func (i *instruments) observe(ctx context.Context, o *server.Observation) {
	i.duration.Record(ctx, o.Duration.Seconds(), metric.WithAttributes(measured(o)...))
	at := metric.WithAttributes(endpointKey.String(o.Endpoint))
	// No client authenticates at the authorization endpoint.
	if o.ErrorCode() == server.InvalidClient && o.Endpoint != "authorization" && o.Endpoint != "authorization_page" {
		i.refused.Add(ctx, 1, at)
	}
	if o.Status == http.StatusTooManyRequests {
		i.rateLimited.Add(ctx, 1, at)
	}
}
