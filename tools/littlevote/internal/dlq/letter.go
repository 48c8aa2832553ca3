package dlq

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// What may have been done with a letter.
const (
	replayed = "replayed"
	dropped  = "dropped"
)

// address is where a letter stands in the dead-letter topic.
type address struct {
	partition int32
	offset    int64
}

// String is the form that people write.
func (a address) String() string { return fmt.Sprintf("%d:%d", a.partition, a.offset) }

func parseAddress(text string) (address, error) {
	left, right, _ := strings.Cut(text, ":")
	partition, badPartition := strconv.ParseUint(left, 10, 31)
	offset, badOffset := strconv.ParseUint(right, 10, 63)
	if badPartition != nil || badOffset != nil {
		return address{}, config.Errorf("PARTITION:OFFSET", "expected two numbers such as 3:17, got %q", text)
	}
	return address{int32(partition), int64(offset)}, nil
}

// letter is a dead letter and what is known of it.
type letter struct {
	events.DeadLetter // without an origin if somebody else wrote it
	address           address
	action            string // replayed or dropped, empty if nobody has
	handledAt         time.Time

	// What examine finds.
	batch   *eventv1.VoteBatch // nil if it does not parse
	notes   []string           // what a replay would come to, in words
	refusal string             // why a replay would do harm, so that there is none
}

func newLetter(r *kgo.Record) *letter {
	l := &letter{address: address{r.Partition, r.Offset}}
	var err error
	if l.DeadLetter, err = events.ReadDeadLetter(r); err != nil {
		l.At, l.Reason = r.Timestamp, err.Error()
	}
	return l
}

// filter says which letters a scan passes on.
type filter struct {
	reason    string
	unhandled bool
}

func (f filter) passes(l *letter) bool {
	return strings.Contains(l.Reason, f.reason) && (!f.unhandled || l.action == "")
}
