package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/gormoauth/gormoauth/models"
	"github.com/gormoauth/gormoauth/server"
)

// Options say where spans and measurements go. The global providers of a program are
// otel.GetTracerProvider() and otel.GetMeterProvider() of go.opentelemetry.io/otel.
type Options struct {
	// TracerProvider receives the spans; nil creates none.
	TracerProvider trace.TracerProvider
	// MeterProvider receives the measurements; nil records none.
	MeterProvider metric.MeterProvider
	// UserIDs adds the user's id to spans, as user.id. It is off by default because traces are
	// often stored by a third party.
	UserIDs bool
}

// Hook observes requests and counts tokens. Register it with [server.Server.Register].
type Hook struct {
	tracer  trace.Tracer
	metrics *instruments
	userIDs bool
}

const scopeName = "github.com/gormoauth/gormoauth/otel"

// New returns a hook. It returns an error if options has no provider, or if the MeterProvider
// refuses an instrument.
func New(options Options) (*Hook, error) {
	if options.TracerProvider == nil && options.MeterProvider == nil {
		return nil, errors.New("otel: Options has neither a TracerProvider nor a MeterProvider: set one of them")
	}
	if options.TracerProvider == nil {
		options.TracerProvider = nooptrace.NewTracerProvider()
	}
	if options.MeterProvider == nil {
		options.MeterProvider = noopmetric.NewMeterProvider()
	}
	metrics, err := newInstruments(options.MeterProvider.Meter(scopeName))
	if err != nil {
		return nil, err
	}
	return &Hook{options.TracerProvider.Tracer(scopeName), metrics, options.UserIDs}, nil
}

// ObserveRequest starts a span, in whose context the whole request runs.
func (h *Hook) ObserveRequest(ctx context.Context, endpoint string) (context.Context, func(server.Observation)) {
	ctx, span := h.tracer.Start(ctx, "oauth."+endpoint, trace.WithAttributes(endpointKey.String(endpoint)))
	return ctx, func(o server.Observation) {
		h.metrics.observe(ctx, &o)
		if span.IsRecording() {
			span.SetAttributes(h.attributes(&o)...)
			if o.Failed() {
				span.SetStatus(codes.Error, o.ErrorCode())
			}
		}
		span.End()
	}
}

// TokenIssued counts the token.
func (h *Hook) TokenIssued(ctx context.Context, req *server.Request, _ *models.TokenMixin) {
	h.metrics.issued.Add(ctx, 1, metric.WithAttributes(grantTypeKey.String(req.GrantType)))
	trace.SpanFromContext(ctx).AddEvent("oauth.token_issued")
}

// TokenRevoked counts the revocation, and also as a reuse if a credential was presented again.
func (h *Hook) TokenRevoked(ctx context.Context, _ *server.Request, revocation server.Revocation) {
	h.metrics.revoked.Add(ctx, 1)
	if revocation.Reuse {
		h.metrics.reused.Add(ctx, 1)
	}
	trace.SpanFromContext(ctx).AddEvent("oauth.token_revoked", trace.WithAttributes(reuseKey.Bool(revocation.Reuse)))
}

// attributes returns the attributes of a span that have a value.
func (h *Hook) attributes(o *server.Observation) []attribute.KeyValue {
	all := append(measured(o), semconv.HTTPRequestMethodKey.String(method(o.Request.HTTP.Method)))
	add := func(key attribute.Key, value string) {
		if value != "" {
			all = append(all, key.String(value))
		}
	}
	add(clientIDKey, o.ClientID)
	add(authMethodKey, o.AuthMethod)
	add(scopeKey, o.Scope)
	if h.userIDs {
		add(semconv.UserIDKey, o.UserID)
	}
	return all
}
