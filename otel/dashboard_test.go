package otel_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"

	"github.com/gormoauth/gormoauth/otel"
)

// dashboard is what this test reads of Grafana's format.
type dashboard struct {
	UID    string
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			Expr         string
			LegendFormat string
		}
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

// exported is what Prometheus has of the metrics: for each its labels, with the
// values that they have.
type exported map[string]map[string]map[string]bool

func (e exported) add(name string, labels map[string]string) {
	if e[name] == nil {
		e[name] = make(map[string]map[string]bool)
	}
	for label, value := range labels {
		if e[name][label] == nil {
			e[name][label] = make(map[string]bool)
		}
		e[name][label][value] = true
	}
}

func scrape(t *testing.T, registry *prometheus.Registry) exported {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	all := make(exported)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := make(map[string]string)
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			if metric.GetHistogram() == nil {
				all.add(family.GetName(), labels)
				continue
			}
			all.add(family.GetName()+"_count", labels)
			all.add(family.GetName()+"_sum", labels)
			labels["le"] = ""
			all.add(family.GetName()+"_bucket", labels)
		}
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b([a-z_:]+)\{([^}]*)\}|\b(oauth_server_[a-z_]+)\b`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without) ?\(([^)]*)\)`)
	legend   = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
)

// Every metric and label that the dashboard asks for is one that a server has told
// the exporter of Prometheus, and every metric that it tells is shown.
func TestTheDashboardAsksForWhatThereIs(t *testing.T) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	require.NoError(t, err)
	o := observe(t, otel.Options{}, reader)
	o.everything()
	has := scrape(t, registry)

	text, err := os.ReadFile("grafana-dashboard.json")
	require.NoError(t, err)
	var board dashboard
	require.NoError(t, json.Unmarshal(text, &board))
	require.NotEmpty(t, board.UID)
	shown, ids := make(map[string]bool), make(map[int]bool)
	for _, panel := range board.Panels {
		assert.False(t, ids[panel.ID], "two panels have the id %d", panel.ID)
		ids[panel.ID] = true
		assert.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, 24, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			for _, metric := range asksFor(t, has, target.Expr) {
				shown[metric] = true
				for _, names := range grouping.FindAllStringSubmatch(target.Expr, -1) {
					for _, label := range strings.Split(names[1], ",") {
						assert.Contains(t, has[metric], strings.TrimSpace(label), "%s: %s", panel.Title, target.Expr)
					}
				}
			}
			for _, label := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				assert.Contains(t, target.Expr, label[1], "%s: the legend names what the query does not keep", panel.Title)
			}
		}
	}
	for _, variable := range board.Templating.List {
		if variable.Type == "query" {
			assert.NotEmpty(t, asksFor(t, has, variable.Query), variable.Name)
		}
	}
	for metric := range has {
		family := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(metric, "_bucket"), "_count"), "_sum")
		if strings.HasPrefix(metric, "oauth_") {
			assert.True(t, shown[metric] || shown[family+"_bucket"] || shown[family+"_count"], "%s is not shown", metric)
		}
	}
}

// asksFor returns the metrics of a query, all of which there are, with labels and
// values that there are.
func asksFor(t *testing.T, has exported, query string) (metrics []string) {
	t.Helper()
	for _, found := range selector.FindAllStringSubmatch(query, -1) {
		metric := found[1] + found[3]
		if !assert.Contains(t, has, metric, query) {
			continue
		}
		metrics = append(metrics, metric)
		for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
			values, ok := has[metric][m[1]]
			if !assert.True(t, ok || m[1] == "job", "%s has no label %s: %s", metric, m[1], query) || strings.HasPrefix(m[3], "$") || m[3] == "" {
				continue
			}
			expression := regexp.QuoteMeta(m[3])
			if strings.HasSuffix(m[2], "~") {
				expression = m[3]
			}
			matches := false
			for value := range values {
				matches = matches || regexp.MustCompile("^(?:"+expression+")$").MatchString(value)
			}
			assert.True(t, matches, "%s{%s}: a server that did everything has only %v", metric, m[0], values)
		}
	}
	assert.NotEmpty(t, metrics, query)
	return metrics
}
