package gateway

import (
	"errors"
	"net/http"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/rest"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
)

// Likes is the group "gateway.likes": calls to the blog service. Likes and unlikes go together, everything else alone.
type Likes struct {
	InFlight int           `key:"in-flight" help:"calls with likes and unlikes at once, 1 to 1000; while they run the next batch gathers"`
	Batch    int           `key:"batch" help:"likes and unlikes in one call, 1 to 1000"`
	Queue    int           `key:"queue" help:"likes and unlikes that wait to be sent, 1 to 1000000; more are refused as OVERLOADED"`
	MaxWait  time.Duration `key:"max-wait" help:"how long a like may have to wait before it is refused as OVERLOADED at once, by the speed of the queue, 10ms to 30s; as many as fill the calls at once may always wait"`
	Timeout  time.Duration `key:"timeout" help:"longest wait for any call, 50ms to 30s"`
}

func defaultLikes() Likes {
	return Likes{InFlight: 4, Batch: 1000, Queue: 20_000, MaxWait: time.Second, Timeout: 5 * time.Second}
}

// Validate checks the limits.
func (l Likes) Validate() error {
	return errors.Join(
		config.Between("in-flight", l.InFlight, 1, 1000),
		config.Between("batch", l.Batch, 1, 1000),
		config.Between("queue", l.Queue, 1, 1_000_000),
		config.Between("max-wait", l.MaxWait, 10*time.Millisecond, 30*time.Second),
		config.Between("timeout", l.Timeout, 50*time.Millisecond, 30*time.Second),
	)
}

// openBlog makes what brings likes, posts and accounts; nil where the settings name no blog-service.
func (s *Service) openBlog(host service.Host, door *overload.Door) (*likes.Blog, error) {
	if s.backends.blog == nil {
		return nil, nil //nolint:nilnil // it is allowed to have none
	}
	observers, err := newShedding(host.Meter, door, "likes")
	if err != nil {
		return nil, err
	}
	l, v := s.cfg.Gateway.Likes, s.cfg.Gateway.Votes
	blog := likes.New(s.backends.blog, likes.Config{
		InFlight: l.InFlight, MaxBatch: l.Batch, MaxQueue: l.Queue, MaxWait: l.MaxWait, Timeout: l.Timeout, Proxies: s.entrance.proxies,
		Wait: v.TicketWait, Retries: uint(max(v.Retries, 0)),
	}, observers["likes"], host.Log)
	return blog, watchQueues(host.Meter, map[string]func() int{"likes": blog.Waiting})
}

// openAPI makes the REST API.
func (s *Service) openAPI(door *overload.Door, metrics *requestMetrics, texts *answer.Texts, language answer.Language) (http.Handler, error) {
	g := s.cfg.Gateway
	serving := rest.Config{
		Blog: s.blog, Counts: s.tallies, Callers: s.identity, Door: door, Texts: texts, Language: language,
		LoginByID: g.RestLogin, MaxBody: g.MaxBody, MaxAtOnce: g.MaxRequests, Timeout: g.RequestTimeout, Observer: metrics, Log: s.log,
	}
	s.entrance.guardREST(&serving)
	return rest.New(serving)
}
