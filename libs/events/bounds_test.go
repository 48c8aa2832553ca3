package events_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/littlevote/littlevote/libs/events"
)

// answering is a cluster with a topic "votes" of three partitions, the first of which answers questions about its offsets with errors
// at first.
func answering(t *testing.T, errs ...*kerr.Error) *kadm.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "votes"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	for _, answer := range errs {
		cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
			asked, _ := request.(*kmsg.ListOffsetsRequest)
			response, _ := asked.ResponseKind().(*kmsg.ListOffsetsResponse)
			for _, topic := range asked.Topics {
				of := kmsg.ListOffsetsResponseTopic{Topic: topic.Topic}
				for _, p := range topic.Partitions {
					one := kmsg.NewListOffsetsResponseTopicPartition()
					if one.Partition = p.Partition; p.Partition == 0 {
						one.ErrorCode = answer.Code
					}
					of.Partitions = append(of.Partitions, one)
				}
				response.Topics = append(response.Topics, of)
			}
			return response, nil, true
		})
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func TestBoundsWaitsForAnElection(t *testing.T) {
	t.Parallel()
	first, end, err := events.Bounds(t.Context(), answering(t, kerr.LeaderNotAvailable, kerr.NotLeaderForPartition), "votes")
	if err != nil {
		t.Fatal(err)
	}
	for _, bounds := range []map[int32]int64{first, end} {
		if partitions := slices.Sorted(maps.Keys(bounds)); !slices.Equal(partitions, []int32{0, 1, 2}) {
			t.Errorf("partitions %v", partitions)
		}
	}
}

func TestBoundsDoesNotWaitForWhatDoesNotPass(t *testing.T) {
	t.Parallel()
	if _, _, err := events.Bounds(t.Context(), answering(t, kerr.TopicAuthorizationFailed), "votes"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Error(err)
	}
}
