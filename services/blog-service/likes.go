package blogservice

import (
	"errors"
	"time"

	"google.golang.org/grpc"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1/blogv1connect"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/likes"
)

// Target is where another service answers.
type Target struct {
	Target string `key:"target" help:"the service: host:port, several with commas between, or a gRPC target such as dns:///name:port"`
}

// Validate checks the limits.
func (t Target) Validate() error { return config.Required("target", t.Target) }

// Likes is the group "likes". A limit is a GCRA: so many a second in the long run, and a burst of so many at once.
type Likes struct {
	Foreign      bool          `key:"foreign" help:"items that are no posts of this system may be liked, as those of other subgraphs; a name of 16 digits always has to be a post's"`
	VoterRate    int           `key:"voter-rate" help:"likes and unlikes a second of one voter, 0 to 1000000; 0: no limit"`
	VoterBurst   int           `key:"voter-burst" help:"likes and unlikes of one voter at once, 1 to 1000000"`
	AddressRate  int           `key:"address-rate" help:"likes and unlikes a second from one address (an IPv6 /64), 0 to 1000000; 0: no limit"`
	AddressBurst int           `key:"address-burst" help:"likes and unlikes from one address at once, 1 to 1000000"`
	ItemRate     int           `key:"item-rate" help:"likes and unlikes a second of one item, 0 to 1000000; 0: no limit"`
	ItemBurst    int           `key:"item-burst" help:"likes and unlikes of one item at once, 1 to 1000000"`
	LimitWait    time.Duration `key:"limit-wait" help:"how long Redis may take for the limits before this process keeps them by itself for a moment, 10ms to 30s"`
}

func defaultLikes() Likes {
	return Likes{
		Foreign: true, VoterRate: 10, VoterBurst: 20, AddressRate: 50, AddressBurst: 100, ItemBurst: 1000, LimitWait: time.Second,
	}
}

// Validate checks the limits.
func (l Likes) Validate() error {
	const most = 1_000_000
	return errors.Join(
		config.Between("voter-rate", l.VoterRate, 0, most),
		config.Between("voter-burst", l.VoterBurst, 1, most),
		config.Between("address-rate", l.AddressRate, 0, most),
		config.Between("address-burst", l.AddressBurst, 1, most),
		config.Between("item-rate", l.ItemRate, 0, most),
		config.Between("item-burst", l.ItemBurst, 1, most),
		config.Between("limit-wait", l.LimitWait, 10*time.Millisecond, 30*time.Second),
	)
}

// liking is what the likes need, and close.
type liking struct {
	limiter *likes.RedisLimiter
	conns   []*grpc.ClientConn
}

// likes makes the LikeService.
func (s *Service) likes(host service.Host, secure *service.TLS) (blogv1connect.LikeServiceHandler, error) {
	measured := service.MeasureCalls(host.Meter, s.log)
	vote, err := service.Dial(s.cfg.Vote.Target, secure, measured)
	if err != nil {
		return nil, err
	}
	s.liking.conns = append(s.liking.conns, vote)
	query, err := service.Dial(s.cfg.Query.Target, secure, measured)
	if err != nil {
		return nil, err
	}
	s.liking.conns = append(s.liking.conns, query)
	l := s.cfg.Likes
	if s.liking.limiter, err = likes.NewRedisLimiter(s.rdb, l.LimitWait, s.log); err != nil {
		return nil, err
	}
	return likes.New(likes.Config{
		Foreign: l.Foreign,
		Voter:   likes.Rate{PerSecond: l.VoterRate, Burst: l.VoterBurst},
		Address: likes.Rate{PerSecond: l.AddressRate, Burst: l.AddressBurst},
		Item:    likes.Rate{PerSecond: l.ItemRate, Burst: l.ItemBurst},
	}, likes.Backends{
		Votes: votev1.NewVoteServiceClient(vote), Ballots: ballotv1.NewBallotServiceClient(vote),
		Queries: queryv1.NewQueryServiceClient(query), Posts: s.articles, Limiter: s.liking.limiter,
	}, s.log), nil
}

func (l *liking) close() {
	if l.limiter != nil {
		l.limiter.Close()
	}
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}
