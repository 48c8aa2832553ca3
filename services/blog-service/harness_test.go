package blogservice_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/tracing"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1/blogv1connect"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	blogservice "github.com/littlevote/littlevote/services/blog-service"
)

const password = "correct horse battery staple"

// world is a tenant that no other test has, on stores that other tests may share.
type world struct {
	t      *testing.T
	cfg    blogservice.Config
	tenant string
	rdb    redis.UniversalClient
	pool   *pgxpool.Pool
}

// instance is one blog-service.
type instance struct {
	blogv1connect.AccountServiceClient
	blogv1connect.PostServiceClient
	url      string
	health   *service.Health
	registry *prometheus.Registry
	spans    *tracetest.SpanRecorder
	stop     func()
}

func newWorld(t *testing.T, redisURL string) *world {
	t.Helper()
	w := &world{t: t, cfg: blogservice.DefaultConfig(), tenant: testenv.Namespace(t)}
	w.cfg.Blog.Listen = "127.0.0.1:0"
	w.cfg.Redis.URL = redisURL
	w.cfg.Redis.Timeout = 5 * time.Second
	w.cfg.Postgres.URL = testenv.Postgres(t)
	w.cfg.Postgres.PoolSize = 5
	w.cfg.Blog.Timeout = 5 * time.Second
	var err error
	if w.rdb, err = redisledger.Open(redisURL, 5, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if w.pool, err = pgledger.Open(t.Context(), w.cfg.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.rdb.Close(); w.pool.Close() })
	return w
}

// start runs an instance until the test ends or it is stopped.
func (w *world) start() *instance {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	meter, registry, err := service.NewMeter("blog-service")
	if err != nil {
		w.t.Fatal(err)
	}
	i := &instance{health: service.NewHealth(), registry: registry, spans: tracetest.NewSpanRecorder()}
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(i.spans)).Tracer(tracing.Scope)
	s, err := blogservice.New(w.t.Context(), w.cfg, service.Host{Tracer: tracer, Log: log, Health: i.health, Meter: meter})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	i.stop = func() { cancel(); <-done }
	w.t.Cleanup(i.stop)
	i.url = "http://" + s.Addr()
	i.AccountServiceClient = blogv1connect.NewAccountServiceClient(http.DefaultClient, i.url)
	i.PostServiceClient = blogv1connect.NewPostServiceClient(http.DefaultClient, i.url)
	testenv.Eventually(w.t, 20*time.Second, func() error {
		i.health.Degraded(func() string { return "" }) // whatever is added makes it look anew
		if r := i.health.Report(w.t.Context()); !r.Ready || len(r.Degraded) > 0 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	return i
}

// register makes a user of the world's tenant.
func (w *world) register(i *instance, name string) *blogv1.User {
	w.t.Helper()
	resp, err := i.Register(w.t.Context(), &blogv1.RegisterRequest{Tenant: w.tenant, Name: name, Password: password})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetUser()
}

func (w *world) login(i *instance, name string) *blogv1.LoginResponse {
	w.t.Helper()
	resp, err := i.Login(w.t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: name, Password: password})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// post makes a post.
func (w *world) post(i *instance, author *blogv1.User, title string) *blogv1.Post {
	w.t.Helper()
	resp, err := i.CreatePost(w.t.Context(), &blogv1.CreatePostRequest{
		Tenant: w.tenant, AuthorId: author.GetId(), Title: title, Content: "what it says",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetPost()
}

// read returns one post as a reader sees it.
func (w *world) read(i *instance, id, viewer string) *blogv1.PostResult {
	w.t.Helper()
	resp, err := i.GetPosts(w.t.Context(), &blogv1.GetPostsRequest{Tenant: w.tenant, Ids: []string{id}, Viewer: viewer})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetResults()[0]
}

// wants fails the test unless err is a refusal with this code.
func wants(t *testing.T, what string, err error, code statusv1.Code) *statusv1.ErrorDetail {
	t.Helper()
	detail, ok := service.Detail(err)
	if !ok || detail.GetCode() != code {
		t.Fatalf("%s: %v (%v), want %v", what, err, detail, code)
	}
	return detail
}

// text is what a caller may read of an error.
func text(err error) string {
	return fmt.Sprintf("%v %v", connect.CodeOf(err), err)
}

// levels tells how many posts were read from each level.
func (i *instance) levels(t *testing.T) map[string]float64 {
	t.Helper()
	levels := map[string]float64{}
	for name, value := range i.metrics(t) {
		if level, ok := strings.CutPrefix(name, "littlevote_blog_cache_reads_total{kind=post,level="); ok {
			levels[strings.TrimSuffix(level, "}")] = value
		}
	}
	return levels
}

// metrics returns the values of all metrics by name and labels; of a histogram, how many values it has.
func (i *instance) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := i.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				if !strings.HasPrefix(label.GetName(), "otel_") {
					labels = append(labels, label.GetName()+"="+label.GetValue())
				}
			}
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return got
}

func newKey() string { return uuid.Must(uuid.NewV7()).String() }
