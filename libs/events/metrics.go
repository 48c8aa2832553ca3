package events

import (
	"context"
	"errors"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/measure"
)

// Measured is an option for a client that publishes how long its requests take.
func Measured(meter metric.Meter) (kgo.Opt, error) {
	calls, err := measure.NewCalls(meter, measure.Kafka)
	if err != nil {
		return nil, err
	}
	return kgo.WithHooks(timing{calls}), nil
}

// timing is a hook of the client library.
type timing struct{ calls *measure.Calls }

// OnBrokerE2E is part of kgo.HookBrokerE2E. Fetches wait for records as long as they may, so that theirs says nothing.
func (t timing) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, call kgo.BrokerE2E) {
	operation := "other"
	switch kmsg.Key(key) {
	case kmsg.Fetch, kmsg.JoinGroup, kmsg.SyncGroup:
		return
	case kmsg.Produce:
		operation = "produce"
	case kmsg.Metadata:
		operation = "metadata"
	case kmsg.ListOffsets:
		operation = "list_offsets"
	case kmsg.OffsetCommit:
		operation = "commit"
	case kmsg.Heartbeat:
		operation = "heartbeat"
	}
	t.calls.Record(context.Background(), operation, failure(call.Err()), call.DurationE2E())
}

// failure is the kind of an error.
func failure(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "network"
	}
}
