package otel_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"gorm.io/gorm"

	"github.com/gormoauth/gormoauth"
	"github.com/gormoauth/gormoauth/internal/oauthtest"
	"github.com/gormoauth/gormoauth/internal/testdb"
	"github.com/gormoauth/gormoauth/otel"
	"github.com/gormoauth/gormoauth/server"
	"github.com/gormoauth/gormoauth/server/endpoint"
	"github.com/gormoauth/gormoauth/server/eventlog"
	"github.com/gormoauth/gormoauth/server/grant"
	"github.com/gormoauth/gormoauth/server/resource"
	"github.com/gormoauth/gormoauth/server/secret"
	"github.com/gormoauth/gormoauth/server/storage"
)

// observed is a server that tells OpenTelemetry of itself.
type observed struct {
	*oauthtest.Provider
	devices *endpoint.DeviceAuthorization
	spans   *tracetest.InMemoryExporter
	traces  trace.TracerProvider
	// fault is what the database answers, if anything.
	fault error
}

func observe(t *testing.T, options otel.Options, readers ...sdkmetric.Reader) *observed {
	t.Helper()
	o := &observed{spans: tracetest.NewInMemoryExporter()}
	o.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans))
	options.TracerProvider = o.traces
	for _, reader := range readers {
		options.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	}
	hook, err := otel.New(options)
	require.NoError(t, err)
	db := testdb.Open(t, testdb.SQLiteGo, oauthtest.Models()...)
	query := gormoauth.CreateQueryClientFunc[oauthtest.Client](db)
	o.Provider = oauthtest.New(t, db, func(c *server.Config) {
		c.QueryClient = func(ctx context.Context, id string) (storage.Client, error) {
			if o.fault != nil {
				return nil, o.fault
			}
			return query(ctx, id)
		}
	})
	require.NoError(t, o.Server.Register(hook))
	require.NoError(t, o.Server.RegisterGrant(&grant.ClientCredentials{}))
	o.devices = gormoauth.CreateDeviceAuthorizationEndpoint[oauthtest.DeviceCode](db)
	require.NoError(t, o.Server.RegisterEndpoint(o.devices))
	o.Protector = o.NewProtector(resource.Config{Observers: server.Observers{hook}}, gormoauth.CreateBearerTokenValidator[oauthtest.Token](db))
	return o
}

// everything sends requests of all kinds, and returns the secrets in them.
func (o *observed) everything() *oauthtest.Secrets {
	secrets := new(oauthtest.Secrets)
	see := func(a oauthtest.Answer) oauthtest.Answer {
		secrets.Response(a.Header, []byte(a.Raw))
		return a
	}
	client := o.NewClient(oauthtest.Grants("authorization_code", "refresh_token", "client_credentials"))
	secrets.Add("client_secret", client.Secret)
	secrets.Add("code_verifier", oauthtest.Verifier)
	o.Consent(oauthtest.AuthorizeQuery(client, ""))
	code := see(o.Grant(oauthtest.AuthorizeQuery(client, "state=a-state-that-is-long"))).Query.Get("code")
	tokens := see(o.Redeem(client, code)).Body
	o.Call(tokens["access_token"])
	o.Call("unknown")
	refreshed := see(o.Refresh(client, tokens["refresh_token"], "")).Body
	o.Now = o.Now.Add(time.Minute)
	o.Refresh(client, tokens["refresh_token"], "") // it is a thief's
	o.Revoke(client, "token="+refreshed["access_token"])
	see(o.Token(client, "grant_type=client_credentials"))
	o.Token(client, "grant_type=a-grant-type-of-a-stranger")
	o.Token(nil, "grant_type=client_credentials&client_id=a-client-of-a-stranger&client_secret=wrong")
	o.Consent("client_id=a-client-of-a-stranger")
	for range 30 {
		r := httptest.NewRequest(http.MethodGet, "/device?user_code=BCDF-GHJK", http.NoBody)
		_, _ = o.devices.GetConsentGrant(o.Server, r, o.User)
	}
	o.fault = errors.New("no such table: a-cause-from-inside")
	o.Token(client, "grant_type=client_credentials")
	o.fault = context.Canceled
	o.Token(client, "grant_type=client_credentials")
	o.fault = nil
	o.Serve(httptest.NewRequest("STRANGE", "/oauth/token", http.NoBody))
	o.Server.CreateEndpointResponse(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", http.NoBody), "an-endpoint-of-a-stranger")
	return secrets
}

func attributesOf(span *tracetest.SpanStub) map[string]string {
	all := make(map[string]string)
	for _, a := range span.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestEveryRequestIsASpan(t *testing.T) {
	o := observe(t, otel.Options{})
	client := o.NewClient(nil)
	code := o.Code(client, "scope=profile")
	o.Redeem(client, code)
	o.Redeem(client, code)
	o.fault = errors.New("no such table: a-cause-from-inside")
	o.Redeem(client, code)
	o.fault = context.Canceled
	o.Redeem(client, code)
	spans := o.spans.GetSpans()
	require.Len(t, spans, 6)
	assert.Equal(t, "oauth.authorization_page", spans[0].Name)
	spans = spans[1:] // of the decision, and what follows
	for i, want := range []struct {
		name       string
		attributes map[string]string
		event      string
		status     codes.Code
	}{
		{"oauth.authorization", map[string]string{"oauth.scope": "profile", "http.response.status_code": "302"}, "", codes.Unset},
		{"oauth.token", map[string]string{"oauth.scope": "profile", "http.response.status_code": "200", "oauth.grant_type": "authorization_code", "oauth.client_auth_method": "client_secret_basic"}, "oauth.token_issued", codes.Unset},
		{"oauth.token", map[string]string{"http.response.status_code": "400", "oauth.grant_type": "authorization_code", "oauth.client_auth_method": "client_secret_basic", "error.type": "invalid_grant"}, "oauth.token_revoked", codes.Unset},
		{"oauth.token", map[string]string{"http.response.status_code": "500", "oauth.grant_type": "authorization_code", "error.type": "server_error"}, "", codes.Error},
		{"oauth.token", map[string]string{"http.response.status_code": "500", "oauth.grant_type": "authorization_code", "error.type": "canceled"}, "", codes.Unset},
	} {
		want.attributes["oauth.endpoint"], want.attributes["http.request.method"] = strings.TrimPrefix(want.name, "oauth."), "POST"
		if i < 3 {
			want.attributes["oauth.client_id"] = client.ClientID
		}
		assert.Equal(t, want.name, spans[i].Name)
		assert.Equal(t, want.attributes, attributesOf(&spans[i]), i)
		assert.Equal(t, want.status, spans[i].Status.Code, i)
		event := ""
		for _, e := range spans[i].Events {
			event = e.Name
		}
		assert.Equal(t, want.event, event, i)
	}
}

func TestUsersAreInSpansByOptionAlone(t *testing.T) {
	for _, with := range []bool{false, true} {
		o := observe(t, otel.Options{UserIDs: with})
		o.Code(o.NewClient(nil), "")
		id, has := attributesOf(&o.spans.GetSpans()[0])["user.id"]
		assert.Equal(t, with, has)
		assert.Equal(t, with, id == o.User.GetUserID())
	}
}

func TestNothingSecretIsInSpansAndMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	o := observe(t, otel.Options{UserIDs: true}, reader)
	secrets := o.everything()
	require.Subset(t, secrets.Kinds(), []string{"access_token", "client_secret", "code", "code_verifier", "refresh_token", "state"})
	var metrics metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &metrics))
	var told strings.Builder
	for _, span := range o.spans.GetSpans() {
		fmt.Fprintf(&told, "%s %v %v %v\n", span.Name, span.Attributes, span.Events, span.Status)
	}
	fmt.Fprintf(&told, "%+v", metrics)
	assert.Empty(t, secrets.In(told.String()))
	assert.NotContains(t, told.String(), "stranger", "no text of a stranger's")
	assert.NotContains(t, told.String(), "STRANGE")
	assert.NotContains(t, told.String(), "a-cause-from-inside", "an error's text may be anything")
	assert.NotContains(t, fmt.Sprintf("%+v", metrics), "client_id", "there may be any number of them")
	assert.NotContains(t, fmt.Sprintf("%+v", metrics), "user.id")
}

// HTTP's span is around ours, and ours around the queries'.
func TestSpansAreNested(t *testing.T) {
	o := observe(t, otel.Options{})
	tracer := o.traces.Tracer("database")
	require.NoError(t, o.DB.Callback().Query().Before("gorm:query").Register("traced", func(db *gorm.DB) {
		_, span := tracer.Start(db.Statement.Context, "query "+db.Statement.Table)
		span.End()
	}))
	client := o.NewClient(oauthtest.Grants("client_credentials"))
	o.spans.Reset()
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", strings.NewReader("grant_type=client_credentials"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client.ClientID, client.Secret)
	w := httptest.NewRecorder()
	otelhttp.NewHandler(http.HandlerFunc(o.Server.CreateTokenResponse), "http", otelhttp.WithTracerProvider(o.traces)).ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	spans := o.spans.GetSpans()
	require.Len(t, spans, 3)
	assert.Equal(t, []string{"query clients", "oauth.token"}, []string{spans[0].Name, spans[1].Name})
	assert.Equal(t, spans[1].SpanContext.SpanID(), spans[0].Parent.SpanID())
	assert.Equal(t, spans[2].SpanContext.SpanID(), spans[1].Parent.SpanID())
}

// What is logged of a request can be found from its trace.
func TestAnEventBelongsToTheSpan(t *testing.T) {
	o := observe(t, otel.Options{})
	logged := new(spanIDs)
	require.NoError(t, o.Server.Register(&eventlog.Log{Logger: slog.New(logged)}))
	o.Get("/.well-known/oauth-authorization-server")
	assert.Equal(t, o.spans.GetSpans()[0].SpanContext.SpanID(), logged.last)
}

// spanIDs is a handler that looks at the span alone.
type spanIDs struct {
	slog.Handler
	last trace.SpanID
}

func (*spanIDs) Enabled(context.Context, slog.Level) bool { return true }

func (s *spanIDs) Handle(ctx context.Context, _ slog.Record) error {
	s.last = trace.SpanContextFromContext(ctx).SpanID()
	return nil
}

func TestProvidersAreOptional(t *testing.T) {
	_, err := otel.New(otel.Options{})
	require.ErrorContains(t, err, "TracerProvider")
	hook, err := otel.New(otel.Options{MeterProvider: sdkmetric.NewMeterProvider()})
	require.NoError(t, err)
	ctx, end := hook.ObserveRequest(t.Context(), "token")
	assert.False(t, trace.SpanFromContext(ctx).IsRecording())
	end(server.Observation{Request: &server.Request{HTTP: httptest.NewRequest(http.MethodGet, "/", http.NoBody)}})
}

// A code that is new in the engine would be counted as "other".
func TestEveryErrorCodeIsKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../server/error.go", nil, 0)
	require.NoError(t, err)
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				code, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				all = append(all, code)
			}
		}
		return true
	})
	require.Contains(t, all, "invalid_request")
	o := observe(t, otel.Options{})
	var code string
	require.NoError(t, o.Server.RegisterEndpoint(failing{&code}))
	for _, code = range append(all, "a-code-of-the-program") {
		o.spans.Reset()
		o.Get("/failing")
		want := code
		if code == "a-code-of-the-program" {
			want = "other"
		}
		assert.Equal(t, want, attributesOf(&o.spans.GetSpans()[0])["error.type"])
	}
}

// failing is an endpoint that answers with a code.
type failing struct{ code *string }

func (failing) EndpointName() string { return "failing" }
func (failing) EndpointPath() string { return "/failing" }
func (failing) Methods() []string    { return []string{http.MethodGet} }
func (f failing) CreateResponse(context.Context, *server.Request) (*server.Response, error) {
	return nil, server.NewError(*f.code, "No.")
}

func TestWhatIsCounted(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	o := observe(t, otel.Options{}, reader)
	o.everything()
	var metrics metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &metrics))
	counted := make(map[string]int64)
	for _, scope := range metrics.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if sum, ok := metric.Data.(metricdata.Sum[int64]); ok {
				for _, point := range sum.DataPoints {
					of := ""
					for _, a := range point.Attributes.ToSlice() {
						of += " " + a.Value.AsString()
					}
					counted[strings.TrimPrefix(metric.Name, "oauth.server.")+of] += point.Value
				}
			}
		}
	}
	assert.Equal(t, map[string]int64{
		"tokens.issued authorization_code": 1, "tokens.issued refresh_token": 1, "tokens.issued client_credentials": 1,
		"revocations": 2, "reuse.detected": 1, // the second because of the first
		"client_authentication.failures token": 1, // where a client authenticates
		"rate_limited.requests device":         10,
	}, counted)
}

// Each revocation is counted and is an event of the span, and those by reuse are counted apart.
func TestWhatARevocationIs(t *testing.T) {
	o, reader := observe(t, otel.Options{}), sdkmetric.NewManualReader()
	hook, err := otel.New(otel.Options{TracerProvider: o.traces, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	require.NoError(t, err)
	ctx, span := o.traces.Tracer("").Start(t.Context(), "")
	for _, reuse := range []bool{false, true, false} {
		hook.TokenRevoked(ctx, nil, server.Revocation{Reuse: reuse})
	}
	span.End()
	var events []string
	for _, event := range o.spans.GetSpans()[0].Events {
		events = append(events, fmt.Sprintf("%s %s=%t", event.Name, event.Attributes[0].Key, event.Attributes[0].Value.AsBool()))
	}
	assert.Equal(t, []string{"oauth.token_revoked oauth.reuse=false", "oauth.token_revoked oauth.reuse=true", "oauth.token_revoked oauth.reuse=false"}, events)
	var metrics metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &metrics))
	counted := make(map[string]int64)
	for _, metric := range metrics.ScopeMetrics[0].Metrics {
		counted[metric.Name] = metric.Data.(metricdata.Sum[int64]).DataPoints[0].Value
	}
	assert.Equal(t, map[string]int64{"oauth.server.revocations": 3, "oauth.server.reuse.detected": 1}, counted)
}

// What each instrument is, as a dashboard and a collector know it; those that count what is rare
// begin at once.
func TestEveryInstrument(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	o := observe(t, otel.Options{}, reader)
	named := func() map[string]metricdata.Metrics {
		var metrics metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &metrics))
		all := make(map[string]metricdata.Metrics)
		for _, scope := range metrics.ScopeMetrics {
			assert.Equal(t, "github.com/gormoauth/gormoauth/otel", scope.Scope.Name)
			for _, metric := range scope.Metrics {
				all[metric.Name] = metric
			}
		}
		return all
	}
	begun := named()
	assert.Len(t, begun, 2)
	for _, name := range []string{"oauth.server.revocations", "oauth.server.reuse.detected"} {
		sum, _ := begun[name].Data.(metricdata.Sum[int64])
		if assert.Len(t, sum.DataPoints, 1, name) {
			assert.Zero(t, sum.DataPoints[0].Value)
		}
	}
	o.everything()
	told := make(map[string][2]string)
	for name, metric := range named() {
		told[name] = [2]string{metric.Unit, metric.Description}
	}
	assert.Equal(t, map[string][2]string{
		"oauth.server.request.duration":               {"s", "How long requests took."},
		"oauth.server.tokens.issued":                  {"{token}", "Tokens that were issued."},
		"oauth.server.revocations":                    {"{revocation}", "Tokens and grants that were revoked."},
		"oauth.server.reuse.detected":                 {"{grant}", "Grants that ended because a code or refresh token was presented again."},
		"oauth.server.client_authentication.failures": {"{request}", "Requests whose client failed to authenticate."},
		"oauth.server.rate_limited.requests":          {"{request}", "Requests that a rate limit refused."},
	}, told)
	histogram := named()["oauth.server.request.duration"].Data.(metricdata.Histogram[float64])
	assert.Equal(t, []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}, histogram.DataPoints[0].Bounds)
}

// How long a request took is measured with what a stranger cannot make up.
func TestWhatADurationIsMeasuredWith(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	hook, err := otel.New(otel.Options{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	require.NoError(t, err)
	r := &server.Request{HTTP: httptest.NewRequest(http.MethodPost, "/", http.NoBody)}
	for _, o := range []server.Observation{
		{Endpoint: "token", GrantType: "password", Status: 429, Error: server.NewError(server.InvalidClient, "x"), Duration: 3 * time.Second, Request: r},
		{Endpoint: "authorization", Status: 400, Error: server.NewError(server.InvalidClient, "x"), Duration: time.Second, Request: r},
		{Endpoint: "authorization_page", Status: 400, Error: server.NewError(server.InvalidClient, "x"), Request: r},
		{Endpoint: "metadata", Request: r},
	} {
		_, end := hook.ObserveRequest(t.Context(), o.Endpoint)
		end(o)
	}
	var metrics metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &metrics))
	var measured []string
	for _, metric := range metrics.ScopeMetrics[0].Metrics {
		switch data := metric.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, point := range data.DataPoints {
				measured = append(measured, fmt.Sprintf("%s %s %g", metric.Name, point.Attributes.Encoded(attribute.DefaultEncoder()), point.Sum))
			}
		case metricdata.Sum[int64]:
			for _, point := range data.DataPoints {
				measured = append(measured, fmt.Sprintf("%s %s %d", metric.Name, point.Attributes.Encoded(attribute.DefaultEncoder()), point.Value))
			}
		}
	}
	assert.ElementsMatch(t, []string{
		"oauth.server.request.duration error.type=invalid_client,http.response.status_code=429,oauth.endpoint=token,oauth.grant_type=password 3",
		"oauth.server.request.duration error.type=invalid_client,http.response.status_code=400,oauth.endpoint=authorization 1",
		"oauth.server.request.duration error.type=invalid_client,http.response.status_code=400,oauth.endpoint=authorization_page 0",
		"oauth.server.request.duration oauth.endpoint=metadata 0",
		"oauth.server.client_authentication.failures oauth.endpoint=token 1", "oauth.server.rate_limited.requests oauth.endpoint=token 1",
		"oauth.server.revocations  0", "oauth.server.reuse.detected  0",
	}, measured)
}

// The method of a request is one of those that there are.
func TestMethodsAreKnown(t *testing.T) {
	o := observe(t, otel.Options{})
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "BREW", "get"} {
		want := method
		if method == "BREW" || method == "get" {
			want = "_OTHER"
		}
		hook, err := otel.New(otel.Options{TracerProvider: o.traces})
		require.NoError(t, err)
		o.spans.Reset()
		_, end := hook.ObserveRequest(t.Context(), "token")
		end(server.Observation{Endpoint: "token", Request: &server.Request{HTTP: &http.Request{Method: method}}})
		assert.Equal(t, map[string]string{"oauth.endpoint": "token", "http.request.method": want}, attributesOf(&o.spans.GetSpans()[0]))
	}
}

// refusing is a provider of meters that lack an instrument.
type refusing struct {
	noopmetric.MeterProvider
	refuses string
}

func (r refusing) Meter(name string, options ...metric.MeterOption) metric.Meter {
	return meter{r.MeterProvider.Meter(name, options...), r.refuses}
}

type meter struct {
	metric.Meter
	refuses string
}

func (m meter) Int64Counter(name string, options ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	if name == m.refuses {
		return nil, errors.New("no " + name)
	}
	return m.Meter.Int64Counter(name, options...)
}

func (m meter) Float64Histogram(name string, options ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	if name == m.refuses {
		return nil, errors.New("no " + name)
	}
	return m.Meter.Float64Histogram(name, options...)
}

func TestAnInstrumentThatIsRefusedIsAnError(t *testing.T) {
	for _, name := range []string{
		"oauth.server.request.duration", "oauth.server.tokens.issued", "oauth.server.revocations", "oauth.server.reuse.detected",
		"oauth.server.client_authentication.failures", "oauth.server.rate_limited.requests",
	} {
		hook, err := otel.New(otel.Options{MeterProvider: refusing{refuses: name}})
		assert.ErrorContains(t, err, "no "+name)
		assert.Nil(t, hook)
	}
}

// An API answers the same whether it is traced or not, and the span says what was answered.
func TestATracedAPIAnswersAsAnother(t *testing.T) {
	o := observe(t, otel.Options{})
	client := o.NewClient(nil)
	issue := func() string { return o.Redeem(client, o.Code(client, "scope=profile")).Body["access_token"] }
	good, revoked, expired := issue(), issue(), issue()
	o.Revoke(client, "token="+revoked)
	require.NoError(t, o.DB.Model(&oauthtest.Token{}).Where("access_token = ?", secret.Digest(expired)).Update("expires_in", 1).Error)
	o.Now = o.Now.Add(time.Second)
	for rule, c := range map[string]struct {
		header     []string
		middleware func(http.Handler) http.Handler
		status     int
		body       string
		challenge  string
		code       string // of the span
		of         bool   // whether the span names the client
	}{
		"a valid token":    {[]string{"Bearer " + good}, o.Protector.Require("profile"), 200, "reached", "", "", true},
		"an expired token": {[]string{"Bearer " + expired}, o.Protector.Require(), 401, `"error":"invalid_token"`, `error="invalid_token", error_description="The access token has expired."`, "invalid_token", true},
		"a revoked token":  {[]string{"Bearer " + revoked}, o.Protector.Require(), 401, `"error":"invalid_token"`, `error="invalid_token", error_description="The access token was revoked."`, "invalid_token", true},
		"an unknown token": {[]string{"Bearer unknown"}, o.Protector.Require(), 401, `"error":"invalid_token"`, `error="invalid_token", error_description="The access token is unknown."`, "invalid_token", false},
		"a missing token":  {nil, o.Protector.Require(), 401, "{}", `Bearer realm="api"`, "missing_authorization", false},
		"a malformed one":  {[]string{"Bearer "}, o.Protector.Require(), 400, `"error":"invalid_request"`, `error="invalid_request"`, "invalid_request", false},
		"too little scope": {[]string{"Bearer " + good}, o.Protector.Require("email"), 403, `"error":"insufficient_scope"`, `scope="email"`, "insufficient_scope", true},
		"optional, an expired token": {
			[]string{"Bearer " + expired}, o.Protector.Optional(), 401, `"error":"invalid_token"`, `error_description="The access token has expired."`, "invalid_token", true},
		"a sign-in that is unknown": {[]string{"Bearer " + good}, func(next http.Handler) http.Handler {
			return o.Protector.Require()(o.Protector.RequireAuthentication(resource.StepUp{MaxAge: time.Minute})(next))
		}, 401, `"error":"insufficient_user_authentication"`, `max_age="60"`, "insufficient_user_authentication", true},
	} {
		o.spans.Reset()
		r := httptest.NewRequest(http.MethodGet, "/api", http.NoBody)
		r.Header["Authorization"] = c.header
		w := o.Record(c.middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("reached")) })), r)
		assert.Equal(t, c.status, w.Code, rule)
		assert.Contains(t, w.Body.String(), c.body, rule)
		assert.Equal(t, c.status == http.StatusOK, w.Body.String() == "reached", rule)
		assert.Contains(t, w.Header().Get("WWW-Authenticate"), c.challenge, rule)
		spans := o.spans.GetSpans()
		require.NotEmpty(t, spans, rule)
		last := spans[len(spans)-1]
		assert.Equal(t, "oauth.resource", last.Name, rule)
		assert.Equal(t, codes.Unset, last.Status.Code, "%s: the server is not at fault", rule)
		attributes, status := attributesOf(&last), ""
		if c.code != "" { // otherwise the program writes the answer
			status = strconv.Itoa(c.status)
		}
		assert.Equal(t, status, attributes["http.response.status_code"], rule)
		assert.Equal(t, c.code, attributes["error.type"], rule)
		assert.Equal(t, c.of, attributes["oauth.client_id"] == client.ClientID, rule)
	}
}
