package sim

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

const (
	partitions     = 3
	produceTimeout = time.Second
)

// topic is the log.
type topic struct {
	id uuid.UUID
	mu sync.Mutex
	in [partitions][][]byte
}

func (t *topic) append(partition int32, value []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in[partition] = append(t.in[partition], value)
}

func (t *topic) end(partition int32) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.in[partition]))
}

// read returns up to some records from an offset on.
func (t *topic) read(partition int32, from int64, most int) [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	records := t.in[partition][min(from, int64(len(t.in[partition]))):]
	return records[:min(most, len(records))]
}

// producer is one process's way to Kafka.
type producer struct {
	*link

	fails int // in a row; then the breaker is open for a while
	until time.Duration
	mu    sync.Mutex
}

func (p *producer) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now() < p.until
}

func (p *producer) done(ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok {
		p.fails = 0
		return
	}
	if p.fails++; p.fails >= 3 {
		p.until = p.now() + time.Second
	}
}

func (p *producer) Produce(ctx context.Context, record *eventv1.VoteBatch, lane uint32) (bool, error) {
	value, err := events.Encode(record)
	if err != nil {
		p.fail("a record does not encode: %v", err)
		return false, err
	}
	if p.open() {
		return false, errRefused
	}
	name := "produce " + nameOfVotes(record)
	sent, err := p.write(ctx, name, int32(lane%partitions), value)
	p.done(err == nil)
	p.note("%s %s to %d: %t %s", p.who, name, lane%partitions, sent, errText(err))
	return sent, err
}

func (p *producer) write(ctx context.Context, name string, partition int32, value []byte) (sent bool, err error) {
	d := p.dice(p.who + " " + name)
	there, luck, late := latency(d, 2*time.Millisecond), d.Float64(), rand3(d, 4*time.Second)
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	if wait, sick := p.within(p.sick); sick {
		sleep(ctx, wait+there)
	}
	if p.dead() {
		return false, errCrashed
	}
	_, away := p.within(p.plan.kafkaAway)
	if away || luck < p.rate(p.plan.lostProduce) {
		switch d.IntN(5) {
		case 0: // it comes after all
			p.all.Go(func() {
				if sleep(p.stop, late) {
					p.log.append(partition, value)
					p.note("%s %s arrives late", p.who, name)
				}
			})
		case 1:
			if !away {
				p.log.append(partition, value)
			}
		case 2, 3:
			return false, errRefused
		}
		<-ctx.Done()
		return true, errNoAnswer
	}
	if !sleep(ctx, there) {
		return true, errNoAnswer
	}
	p.log.append(partition, value)
	if !sleep(ctx, there) {
		return true, errNoAnswer
	}
	if p.dead() {
		return true, errCrashed
	}
	return true, nil
}

func (p *producer) EndOffsets(ctx context.Context) (uuid.UUID, map[int32]int64, error) {
	d := p.dice(p.who + " ends")
	if !sleep(ctx, latency(d, 2*time.Millisecond)) {
		return uuid.Nil, nil, ctx.Err()
	}
	if p.dead() {
		return uuid.Nil, nil, errCrashed
	}
	if _, away := p.within(p.plan.kafkaAway); away {
		return uuid.Nil, nil, errNoAnswer
	}
	ends := map[int32]int64{}
	for i := range int32(partitions) {
		ends[i] = p.log.end(i)
	}
	return p.log.id, ends, nil
}
