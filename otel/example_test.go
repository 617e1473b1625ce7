package otel_test

import (
	"log"
	"log/slog"

	"go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gormoauth/gormoauth/otel"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/resource"
)

func ExampleNew() {
	var srv server.Server           // yours
	reader, err := prometheus.New() // for promhttp.Handler(); or an OTLP exporter
	traces := sdktrace.NewTracerProvider( /* where traces go */ )
	if err != nil {
		log.Fatal(err)
	}
	hook, err := otel.New(otel.Options{
		TracerProvider: traces,
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	if err != nil {
		log.Fatal(err)
	}
	// In this order, what is logged belongs to the span.
	if err := srv.Register(hook, &eventlog.Log{Logger: slog.Default()}); err != nil {
		log.Fatal(err)
	}
	// An API that takes the tokens.
	var tokens resource.TokenValidator // see CreateBearerTokenValidator
	if _, err := resource.NewProtector(resource.Config{Observers: server.Observers{hook}}, tokens); err != nil {
		log.Fatal(err)
	}
}
