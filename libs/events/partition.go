package events

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Key is the key of a record: one lane of one ballot.
func Key(ballot string, lane uint32) []byte {
	key := append([]byte(ballot), '/')
	return strconv.AppendUint(key, uint64(lane), 10)
}

// Partitioner puts a record of lane l into partition l modulo the number of partitions, whatever its ballot.
type Partitioner struct{}

// ForTopic is part of kgo.Partitioner.
func (Partitioner) ForTopic(string) kgo.TopicPartitioner { return lanes{} }

type lanes struct{}

// RequiresConsistency keeps a lane in its partition while that partition has no leader: its records wait or fail
// there, and the sender falls back to Postgres.
func (lanes) RequiresConsistency(*kgo.Record) bool { return true }

// Partition reads the lane from the key. A key of another form, which only a foreign record has, is hashed.
func (lanes) Partition(r *kgo.Record, partitions int) int {
	key := string(r.Key)
	lane, err := strconv.ParseUint(key[strings.LastIndexByte(key, '/')+1:], 10, 32)
	if err != nil {
		h := fnv.New32a()
		_, _ = h.Write(r.Key) // a hash never fails
		lane = uint64(h.Sum32())
	}
	return int(lane % uint64(partitions))
}
