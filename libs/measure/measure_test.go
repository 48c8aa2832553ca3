package measure_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/littlevote/littlevote/libs/measure"
)

func TestBallotsAreBounded(t *testing.T) {
	var ballots measure.Ballots
	seen := map[string]bool{}
	for i := range 1000 {
		name := fmt.Sprintf("ballot-%d", i)
		if got := ballots.Of(name); i < 100 && got != name {
			t.Fatalf("%s is shown as %s", name, got)
		}
		seen[ballots.Of(name)] = true
		seen[ballots.Of("acme-"+name+".final")] = true
	}
	if len(seen) != 102 || !seen["(tenants)"] || !seen["(others)"] {
		t.Errorf("%d values of the label", len(seen))
	}
	if got := ballots.Of("ballot-7"); got != "ballot-7" {
		t.Errorf("a ballot that was known is %s", got)
	}
}

func TestCallsAndPools(t *testing.T) {
	reader := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	redis, err := measure.NewCalls(meter, measure.Redis)
	kafka, otherErr := measure.NewCalls(meter, measure.Kafka)
	if err := errors.Join(err, otherErr, measure.Pool(meter, "vote", func() measure.Connections {
		return measure.Connections{Idle: 3, Used: 2, Max: 20}
	})); err != nil {
		t.Fatal(err)
	}
	redis.Record(t.Context(), "admit", "", time.Millisecond)
	redis.Record(t.Context(), "admit", "", time.Millisecond)
	redis.Record(t.Context(), "admit", "timeout", time.Second)
	kafka.Record(t.Context(), "produce", "", time.Millisecond)
	var none *measure.Calls
	none.Record(t.Context(), "admit", "", time.Second)

	want := map[string]int64{
		"db.client.operation.duration db.operation.name=admit,db.system.name=redis":                      2,
		"db.client.operation.duration db.operation.name=admit,db.system.name=redis,error.type=timeout":   1,
		"messaging.client.operation.duration messaging.operation.name=produce,messaging.system=kafka":    1,
		"db.client.connection.count db.client.connection.pool.name=vote,db.client.connection.state=idle": 3,
		"db.client.connection.count db.client.connection.pool.name=vote,db.client.connection.state=used": 2,
		"db.client.connection.max db.client.connection.pool.name=vote":                                   20,
	}
	if diff := cmp.Diff(want, collect(t, reader)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// collect returns by name and labels how many values a histogram has, or the sum.
func collect(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := map[string]int64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		key := func(labels attribute.Set) string { return m.Name + " " + labels.Encoded(attribute.DefaultEncoder()) }
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, point := range data.DataPoints {
				values[key(point.Attributes)] = int64(point.Count)
			}
		case metricdata.Sum[int64]:
			for _, point := range data.DataPoints {
				values[key(point.Attributes)] = point.Value
			}
		default:
			t.Fatalf("%s is a %T", m.Name, m.Data)
		}
	}
	return values
}
