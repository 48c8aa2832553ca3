package events_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
)

func TestDeadLetterKeepsTheRecordAndWhereItStood(t *testing.T) {
	t.Parallel()
	record := &kgo.Record{
		Topic: "vote-events", Partition: 3, Offset: 1 << 40, Key: []byte("main/3"), Value: []byte("garbage"),
		Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-1")}},
	}
	first := events.NewDeadLetter(record, errors.New("not a vote batch"), time.Unix(1_800_000_000, 5).UTC())
	got, err := events.ReadDeadLetter(first.Record("vote-events-dlq"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// It came back and was put aside again: the last origin counts, and the headers of before are kept.
	again := first.Record("vote-events")
	again.Partition, again.Offset = 5, 9
	second, err := events.ReadDeadLetter(events.NewDeadLetter(again, errors.New("still not"), first.At).Record("vote-events-dlq"))
	if err != nil || second.Partition != 5 || second.Offset != 9 || second.Reason != "still not" || len(second.Headers) != 6 {
		t.Errorf("put aside twice: %+v, %v", second, err)
	}
}

func TestForeignRecordIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	good := events.NewDeadLetter(&kgo.Record{Topic: "t"}, errors.New("x"), time.Unix(1, 0)).Record("d")
	badOffset, otherName := *good, *good
	badOffset.Headers = append([]kgo.RecordHeader(nil), good.Headers...)
	badOffset.Headers[2].Value = []byte("many")
	otherName.Headers = append([]kgo.RecordHeader(nil), good.Headers...)
	otherName.Headers[0].Key = "origin"
	for name, r := range map[string]*kgo.Record{
		"no headers": {Value: []byte("x")}, "an offset that is no number": &badOffset, "another header": &otherName,
	} {
		if _, err := events.ReadDeadLetter(r); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}
