package persist

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// session is one membership in the consumer group.
type session struct {
	*Persister
	topic  events.Topic
	client *kgo.Client
	kill   context.CancelFunc // ends all that the client has under way
	owned  *owned
	queue  *groupcommit.Queue[*item]
	room   *semaphore.Weighted                  // in bytes, for what was polled and not applied
	grown  int                                  // partitions that watch knows of
	gained chan struct{}                        // holds a token when there are partitions that watch has not looked at
	lost   atomic.Pointer[map[uuid.UUID]string] // why batches had no effect, as the log knew when partitions were last gained

	nurses    sync.WaitGroup // those who wait for the dead-letter topic
	mu        sync.Mutex     // guards recovered
	recovered []*part        // whose wait for it is over
}

// A broker answers a fetch once there is this much, or after this long: under load a few fetches a second carry what
// would otherwise be one fetch a record, each of which costs the broker more than the record does.
const (
	fetchMinBytes = 256 << 10
	fetchMaxWait  = 100 * time.Millisecond
)

// groupActivity is what an incident is called that keeps this process out of its consumer group.
const groupActivity = "consumer group"

func newSession(p *Persister, topic events.Topic) (*session, error) {
	s := &session{
		Persister: p,
		topic:     topic,
		owned:     newOwned(),
		grown:     topic.Partitions,
		gained:    make(chan struct{}, 1),
		room:      semaphore.NewWeighted(int64(p.cfg.BufferBytes)),
		queue: groupcommit.NewQueue(p.cfg.BufferBytes/itemBytes+1, p.cfg.BatchRecords, p.cfg.BatchVotes,
			func(i *item) int { return len(i.batch.GetVotes()) }),
	}
	life, kill := context.WithCancel(context.Background())
	s.kill = kill
	opts := []kgo.Opt{kgo.WithContext(life)}
	if p.cfg.Instance != "" {
		opts = append(opts, kgo.InstanceID(p.cfg.Instance))
	}
	var err error
	s.client, err = events.NewClient(p.cfg.Kafka, p.log, append(opts,
		kgo.ConsumerGroup(s.group()),
		kgo.ConsumeTopics(p.topics.Votes),
		kgo.DisableAutoCommit(),
		kgo.AdjustFetchOffsetsFn(s.adjust),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is an error and nothing else
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.revoked),
		kgo.BlockRebalanceOnPoll(), // until gather knows under which ownership it has polled
		kgo.SessionTimeout(p.cfg.SessionTimeout),
		kgo.HeartbeatInterval(p.cfg.GroupHeartbeat),
		kgo.RebalanceTimeout(2*p.cfg.TransactionTimeout),
		kgo.FetchMaxBytes(int32(p.cfg.BufferBytes)),
		kgo.FetchMinBytes(fetchMinBytes),
		kgo.FetchMaxWait(fetchMaxWait),
	)...)
	if err != nil {
		kill()
	}
	return s, err
}

// run works until ctx ends (nil) or the session is of no more use.
func (s *session) run(ctx context.Context) error {
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return s.gather(inner) })
	group.Go(func() error { return s.apply(inner) })
	group.Go(func() error { return s.watch(inner) })
	err := group.Wait()
	s.nurses.Wait()
	s.leave(ctx)
	return err
}

// leave gives the partitions to the others at once, and takes a few seconds at most, whatever Kafka does.
func (s *session) leave(ctx context.Context) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	s.commitAdvisory(limited)
	if err := s.leaveGroup(context.WithoutCancel(ctx)); err != nil {
		s.log.WarnContext(ctx, "could not leave the consumer group", "error", err)
	}
	s.kill() // or Close would wait for the end of a rebalance
	s.client.CloseAllowingRebalance()
	for _, p := range s.owned.all() {
		s.status.halt(p.id, nil)
	}
	s.status.incident(groupActivity, nil)
}

// leaveGroup lets the client leave, which in the middle of a rebalance takes it as long as that lasts, and which it does not
// do at all under a name of its own, since such a member may soon be back. So then the group is told by another client.
func (s *session) leaveGroup(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, _ = s.client.GroupMetadata()
	err := s.client.LeaveGroupContext(limited)
	if err == nil && s.cfg.Instance == "" || member.MemberID == "" {
		return err
	}
	limited, cancel = context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if s.cfg.Instance != "" {
		member.InstanceID = &s.cfg.Instance
	}
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group, request.MemberID = s.group(), member.MemberID
	request.Members = append(request.Members, member)
	answer, err := request.RequestWith(limited, s.producer)
	if err != nil {
		return err
	}
	for _, m := range answer.Members {
		if err := kerr.ErrorForCode(m.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownMemberID) {
			return err
		}
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); !errors.Is(err, kerr.UnknownMemberID) {
		return err
	}
	return nil
}

func (p *Persister) group() string { return p.cfg.Kafka.TopicPrefix + p.cfg.Group }

// adjust replaces the offsets that Kafka has for the group by those of the ledger, and with that the ownership begins.
func (s *session) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	mine := offsets[s.topics.Votes]
	partitions := s.topic.Partitions
	for id := range mine {
		partitions = max(partitions, int(id)+1) // the topic may have grown
	}
	err := s.retry(ctx, "read dropped batches", func(error) bool { return false }, s.readDropped)
	if err != nil {
		return nil, err
	}
	var next map[int32]int64
	otherTopic := func(err error) bool { return errors.Is(err, pgledger.ErrOtherTopic) }
	err = s.retry(ctx, "read offsets", otherTopic, func(ctx context.Context) (err error) {
		next, err = pgledger.Offsets(ctx, s.pool, s.topic.ID, partitions)
		return err
	})
	if err != nil {
		return nil, err
	}
	for id := range mine {
		s.owned.add(id, next[id])
		mine[id] = kgo.NewOffset().At(next[id])
		s.log.InfoContext(ctx, "partition is ours", "partition", id, "offset", next[id])
	}
	select { // until it is known how far they are, no look-up of a key proves anything
	case s.gained <- struct{}{}:
	default:
	}
	return offsets, nil
}

// assigned undoes the pause of a partition that was halted under an earlier ownership: it gets another try.
func (s *session) assigned(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
	client.ResumeFetchPartitions(partitions)
	s.status.start()
	s.status.incident(groupActivity, nil)
}

func (s *session) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	ids := partitions[s.topics.Votes]
	if len(ids) == 0 {
		return // each rebalance says so; nobody is to wait for a transaction because of that
	}
	s.owned.remove(ids)
	for _, id := range ids {
		s.status.halt(id, nil)
	}
	s.log.InfoContext(ctx, "partitions are no longer ours", "partitions", ids)
}

// gather polls until ctx ends. It returns an error if the session can't go on.
func (s *session) gather(ctx context.Context) error {
	for {
		fetches := s.client.PollRecords(ctx, s.cfg.BatchRecords)
		if ctx.Err() != nil {
			s.client.AllowRebalance()
			return nil
		}
		items := s.items(fetches)
		s.client.AllowRebalance()
		if err := s.fetchErrors(ctx, fetches); err != nil {
			return err
		}
		for _, i := range items {
			if !s.owned.has(i.part) {
				continue
			}
			if err := s.room.Acquire(ctx, s.weight(i)); err != nil {
				return nil //nolint:nilerr // ctx has ended.
			}
			i.decode()
			i.lost = s.lostBefore(i.batch)
			s.traceItem(i)
			if err := s.queue.Put(i); err != nil {
				return err // by the bound of room there is always a place
			}
		}
	}
}

// items notes for each record under which ownership it was polled. No rebalance may happen before.
func (s *session) items(fetches kgo.Fetches) []*item {
	var items []*item
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		part := s.owned.get(f.Partition)
		if part == nil {
			return
		}
		f.EachRecord(func(r *kgo.Record) { items = append(items, &item{part: part, record: r}) })
	})
	return items
}

func (s *session) fetchErrors(ctx context.Context, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		var (
			lost  *kgo.ErrDataLoss
			group *kgo.ErrGroupSession
		)
		switch part := s.owned.get(e.Partition); {
		case errors.Is(e.Err, pgledger.ErrOtherTopic):
			return e.Err
		case part != nil && e.Topic == s.topics.Votes && (errors.Is(e.Err, kerr.OffsetOutOfRange) || errors.As(e.Err, &lost)):
			s.halt(ctx, part, e.Err, slog.Int64("offset", part.next.Load()))
		case errors.As(e.Err, &group):
			// kgo goes on trying, and says so; where a setting is wrong that is for ever.
			s.status.incident(groupActivity, e.Err)
		default:
			// kgo goes on by itself; watch notices when it does not.
			s.log.WarnContext(ctx, "fetch", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
		}
	}
	return nil
}

// halt stops a partition until a person has looked, or until it is assigned anew.
func (s *session) halt(ctx context.Context, p *part, err error, attrs ...any) {
	p.halted.Store(true)
	s.client.PauseFetchPartitions(map[string][]int32{s.topics.Votes: {p.id}})
	s.status.halt(p.id, err)
	s.log.With(attrs...).ErrorContext(ctx, "partition is halted", "alarm", true, "partition", p.id, "error", err)
}

// commitAdvisory tells Kafka how far the partitions are, for the tools of its operators. Nobody reads it here.
func (s *session) commitAdvisory(ctx context.Context) {
	offsets := map[int32]kgo.EpochOffset{}
	for _, p := range s.owned.all() {
		offsets[p.id] = kgo.EpochOffset{Epoch: -1, Offset: p.next.Load()}
	}
	if len(offsets) == 0 {
		return
	}
	// It would wait for a rebalance to end, and watch has better things to do.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.topics.Votes: offsets}, nil)
}
