package events

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a dead letter, beside those that the record came with.
const (
	headerTopic     = "littlevote-origin-topic"
	headerPartition = "littlevote-origin-partition"
	headerOffset    = "littlevote-origin-offset"
	headerReason    = "littlevote-reason"
	headerTime      = "littlevote-time"
)

// DeadLetter is a record that Decode refused, with where it stood and why.
type DeadLetter struct {
	Topic     string
	Partition int32
	Offset    int64
	Reason    string
	At        time.Time // when it was put aside
	Key       []byte
	Value     []byte
	Headers   []kgo.RecordHeader // those that it came with
}

// NewDeadLetter puts a record aside.
func NewDeadLetter(r *kgo.Record, reason error, at time.Time) DeadLetter {
	return DeadLetter{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Reason: reason.Error(), At: at,
		Key: r.Key, Value: r.Value, Headers: r.Headers,
	}
}

// Record is the letter as it stands in the dead-letter topic.
func (d DeadLetter) Record(topic string) *kgo.Record {
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	return &kgo.Record{
		Topic: topic,
		Key:   d.Key,
		Value: d.Value,
		Headers: append(d.Headers[:len(d.Headers):len(d.Headers)],
			header(headerTopic, d.Topic),
			header(headerPartition, strconv.Itoa(int(d.Partition))),
			header(headerOffset, strconv.FormatInt(d.Offset, 10)),
			header(headerReason, d.Reason),
			header(headerTime, d.At.UTC().Format(time.RFC3339Nano)),
		),
	}
}

// ReadDeadLetter is the inverse of Record. A letter that came back and was put aside again has our headers twice: the
// last ones count, and the older ones stay among those that it came with. An error means that somebody else wrote it.
func ReadDeadLetter(r *kgo.Record) (DeadLetter, error) {
	d := DeadLetter{Key: r.Key, Value: r.Value, Headers: r.Headers}
	const ours = 5
	if len(r.Headers) < ours {
		return d, errors.New("not a dead letter of ours: its headers are missing")
	}
	own := r.Headers[len(r.Headers)-ours:]
	for i, key := range []string{headerTopic, headerPartition, headerOffset, headerReason, headerTime} {
		if own[i].Key != key {
			return d, fmt.Errorf("not a dead letter of ours: no header %s", key)
		}
	}
	partition, badPartition := strconv.ParseInt(string(own[1].Value), 10, 32)
	offset, badOffset := strconv.ParseInt(string(own[2].Value), 10, 64)
	at, badTime := time.Parse(time.RFC3339Nano, string(own[4].Value))
	if err := errors.Join(badPartition, badOffset, badTime); err != nil {
		return d, fmt.Errorf("not a dead letter of ours: %w", err)
	}
	d.Headers = r.Headers[:len(r.Headers)-ours]
	d.Topic, d.Partition, d.Offset = string(own[0].Value), int32(partition), offset
	d.Reason, d.At = string(own[3].Value), at
	return d, nil
}
