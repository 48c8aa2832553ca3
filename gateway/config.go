package gateway

import (
	"errors"
	"strings"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	"github.com/littlevote/littlevote/gateway/playground"
	"github.com/littlevote/littlevote/libs/config"
)

// Config is the settings of the gateway.
type Config struct {
	config.Dev
	Listen  string       `key:"listen" help:"host:port on which the gateway answers"`
	Admin   config.Admin `key:"admin"`
	Trace   config.Trace `key:"trace"`
	Ticket  Ticket       `key:"ticket"`
	Vote    Target       `key:"vote"`
	Query   Target       `key:"query"`
	Blog    Blog         `key:"blog"`
	Auth    Auth         `key:"auth"`
	TLS     config.TLS   `key:"tls"`
	Redis   config.Redis `key:"redis"`
	Gateway Settings     `key:"gateway"`
}

// Ticket is what the gateway needs of the group "ticket".
type Ticket struct {
	config.TicketKeys
	Target string `key:"target" help:"the ticket service: host:port, several with commas between, or a gRPC target such as dns:///tickets:8101"`
}

// Target is where another service answers.
type Target struct {
	Target string `key:"target" help:"the service: host:port, several with commas between, or a gRPC target such as dns:///name:port"`
}

// Blog is what the gateway needs of the group "blog".
type Blog struct {
	Target string `key:"target" help:"the blog service, for users, sessions and likes: host:port, several with commas between, or a gRPC target such as dns:///blog:8106; empty: there is none"`
}

// Settings is the group "gateway".
type Settings struct {
	Path          string `key:"path" help:"path of the GraphQL endpoint"`
	CastListen    string `key:"cast-listen" help:"host:port of its own for clients of CAST, whose GraphQL answers there at /graphql as it does at /cast/graphql of the gateway, such as 127.0.0.1:30000; empty: none"`
	TinyListen    string `key:"tiny-listen" help:"host:port of its own for clients of Tiny Vote, whose GraphQL answers there at /graphql as it does at /tiny/graphql of the gateway; empty: none"`
	Language      string `key:"language" help:"language of messages where Accept-Language asks for none of ours: zh or en"`
	Introspection bool   `key:"introspection" help:"answer __schema and __type; a federation router's _service is answered either way"`
	Playground    bool   `key:"playground" help:"serve /, /playground and /live, pages to try the API with and to watch counts"`

	RequestTimeout time.Duration `key:"request-timeout" help:"longest a request may take, 100ms to 5m"`
	DrainWait      time.Duration `key:"drain-wait" help:"how long a gateway that is told to stop still takes requests, closing each connection after its answer, so that clients and load balancers go elsewhere first, 0s to 5s"`
	MaxRequests    int           `key:"max-requests" help:"requests at the same time, 1 to 1000000; more are refused with 429"`
	MaxBody        int           `key:"max-body" help:"bytes of a body or a query string, 1024 to 1048576; more are refused with 413 or 414"`
	MaxTokens      int           `key:"max-tokens" help:"lexical tokens of a document, 10 to 100000"`
	MaxDepth       int           `key:"max-depth" help:"how deep fields may nest in a document, 1 to 100; introspection by tools needs 13"`
	MaxAliases     int           `key:"max-aliases" help:"fields with an alias in a document, 0 to 10000"`
	MaxMutations   int           `key:"max-mutations" help:"mutations in one document, 1 to 1000; they run one after the other"`
	MaxComplexity  int           `key:"max-complexity" help:"complexity of a document, 1 to 1000000: about the values in its answer, with 500 candidates for getAllUserVotes"`
	DocumentCache  int           `key:"document-cache" help:"bytes of parsed documents that are kept, 0 to 1073741824"`

	PersistedQueries int    `key:"persisted-queries" help:"bytes of documents that clients may call by their SHA-256 once they have sent them (Apollo's automatic persisted queries), 0 to 1073741824; 0: none"`
	AllowList        string `key:"allow-list" help:"manifest, in the format of Apollo's persisted-query-manifest and of at most 1 MiB, with the only operations that are served at gateway.path; read again when it changes; empty: every operation is. The dialects have fixed clients and small schemas, and are not under it"`
	RequirePreflight bool   `key:"require-preflight" help:"refuse GET requests of GraphQL without a header that only programs send (Apollo-Require-Preflight, X-Apollo-Operation-Name, or a Content-Type of JSON), as Apollo Server does; without this those are refused by which a browser tells that another site's page sends them"`

	TrustedProxies []string `key:"trusted-proxies" help:"networks of proxies, such as 10.0.0.0/8, with commas between, whose X-Forwarded-For says where a request comes from; empty: none is believed, and limits per address go by the connection"`
	RestLogin      bool     `key:"rest-login" help:"GET /api/user/login?userId logs in by an id alone, without a password: for development only"`

	TLS         TLS         `key:"tls"`
	CORS        CORS        `key:"cors"`
	Timeouts    Timeouts    `key:"timeouts"`
	Connections Connections `key:"connections"`
	Limits      Limits      `key:"limits"`

	Votes Votes `key:"votes"`
	Reads Reads `key:"reads"`
	Likes Likes `key:"likes"`
	Live  Live  `key:"live"`
}

// Votes is the group "gateway.votes": calls to the vote service.
type Votes struct {
	InFlight   int           `key:"in-flight" help:"calls at once, 1 to 1000; while they run the next batch gathers"`
	Batch      int           `key:"batch" help:"votes in one call, 1 to 1000"`
	Queue      int           `key:"queue" help:"votes that wait to be sent, 1 to 1000000; more are refused as OVERLOADED"`
	MaxWait    time.Duration `key:"max-wait" help:"how long a vote may have to wait before it is refused as OVERLOADED at once, by the speed of the queue, 10ms to 30s; as many as fill the calls at once may always wait"`
	Timeout    time.Duration `key:"timeout" help:"longest wait for a call, with the second try of votes that have a key, 50ms to 30s"`
	Patience   time.Duration `key:"patience" help:"how long a call may keep the next batch from being sent while later calls are answered, 10ms to 30s"`
	TicketWait time.Duration `key:"ticket-wait" help:"how long a vote, or a like, is tried again inside while the system can't take votes, and on the newest ticket while it gives way to the next, 0s to 30s"`
	Retries    int           `key:"retries" help:"how many votes, and how many likes, a second are tried again inside, 1 to 1000000; beyond that their refusals are passed on"`
}

// Reads is the group "gateway.reads": calls to the ticket and the query service, to each of them.
type Reads struct {
	InFlight int           `key:"in-flight" help:"calls at once, 1 to 1000; while they run the next batch gathers"`
	Batch    int           `key:"batch" help:"reads in one call, 1 to 1000"`
	Queue    int           `key:"queue" help:"reads that wait to be sent, 1 to 1000000; more are refused as OVERLOADED, and those of one list together"`
	MaxWait  time.Duration `key:"max-wait" help:"how long a read may have to wait before it is refused as OVERLOADED at once, by the speed of the queue, 10ms to 30s; as many as fill the calls at once may always wait"`
	Timeout  time.Duration `key:"timeout" help:"longest wait for a call, with its repetitions, and for a consistency token, 50ms to 30s"`
}

// DefaultConfig is a gateway beside the other services on this machine.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		Admin:  config.Admin{Listen: "127.0.0.1:9080"},
		Trace:  config.DefaultTrace(),
		Ticket: Ticket{Target: "127.0.0.1:8101"},
		Vote:   Target{Target: "127.0.0.1:8102"},
		Query:  Target{Target: "127.0.0.1:8103"},
		Auth:   defaultAuth(),
		Redis:  config.Redis{PoolSize: config.DefaultRedis().PoolSize, Timeout: config.DefaultRedis().Timeout},
		Gateway: Settings{
			Path: "/graphql", Language: "zh", Introspection: true, Playground: true,
			RequestTimeout: 10 * time.Second, DrainWait: time.Second, MaxRequests: 20_000, MaxBody: 64 << 10,
			MaxTokens: 1000, MaxDepth: 15, MaxAliases: 50, MaxMutations: 10, MaxComplexity: 20_000, DocumentCache: 32 << 20,
			PersistedQueries: 8 << 20, Timeouts: defaultTimeouts(), Connections: defaultConnections(), Limits: defaultLimits(),
			Votes: Votes{
				InFlight: 2, Batch: 1000, Queue: 20_000, MaxWait: time.Second, Timeout: 5 * time.Second, Patience: 500 * time.Millisecond,
				TicketWait: 2 * time.Second, Retries: 5000,
			},
			Reads: Reads{InFlight: 4, Batch: 1000, Queue: 20_000, MaxWait: time.Second, Timeout: 3 * time.Second},
			Likes: defaultLikes(),
			Live:  defaultLive(),
		},
	}
}

// Validate checks the limits.
func (c Config) Validate() error { return config.Address("listen", c.Listen) }

// Validate checks the limits.
func (t Ticket) Validate() error { return config.Required("target", t.Target) }

// Validate checks the limits.
func (t Target) Validate() error { return config.Required("target", t.Target) }

// Validate checks the limits.
func (s Settings) Validate() error {
	return errors.Join(
		s.validPath(),
		validListen("cast-listen", s.CastListen),
		validListen("tiny-listen", s.TinyListen),
		config.OneOf("language", s.Language, "zh", "en"),
		config.Between("request-timeout", s.RequestTimeout, 100*time.Millisecond, 5*time.Minute),
		config.Between("drain-wait", s.DrainWait, 0, 5*time.Second),
		config.Between("max-requests", s.MaxRequests, 1, 1_000_000),
		config.Between("max-body", s.MaxBody, 1<<10, 1<<20),
		config.Between("max-tokens", s.MaxTokens, 10, 100_000),
		config.Between("max-depth", s.MaxDepth, 1, 100),
		config.Between("max-aliases", s.MaxAliases, 0, 10_000),
		config.Between("max-mutations", s.MaxMutations, 1, 1000),
		config.Between("max-complexity", s.MaxComplexity, 1, 1_000_000),
		config.Between("document-cache", s.DocumentCache, 0, 1<<30),
		config.Between("persisted-queries", s.PersistedQueries, 0, 1<<30),
		s.validProxies(),
	)
}

// validListen takes an address or none.
func validListen(key, address string) error {
	if address == "" {
		return nil
	}
	return config.Address(key, address)
}

func (s Settings) validProxies() error {
	if _, err := visit.ParseProxies(s.TrustedProxies); err != nil {
		return config.Errorf("trusted-proxies", "%v", err)
	}
	return nil
}

// validPath keeps the endpoint off the addresses that have another meaning, and free of what ServeMux reads as a pattern.
func (s Settings) validPath() error {
	const expected = "expected a path such as /graphql, of letters, digits and /-_., other than /, /playground, /live, /livez, /readyz, /healthz, /health, /cast/graphql and /tiny/graphql"
	reserved := map[string]bool{
		"/": true, "/playground": true, "/live": true, "/livez": true, "/readyz": true, "/healthz": true, "/health": true,
		"/cast/graphql": true, "/tiny/graphql": true,
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/-_.", r)
	}
	odd := strings.ContainsFunc(s.Path, func(r rune) bool { return !plain(r) })
	dotted := strings.Contains(s.Path, "//") || strings.Contains(s.Path+"/", "/./") || strings.Contains(s.Path+"/", "/../")
	if !strings.HasPrefix(s.Path, "/") || strings.HasSuffix(s.Path, "/") || reserved[s.Path] ||
		strings.HasPrefix(s.Path, "/playground/") || odd || dotted {
		return config.Errorf("path", "%s; got %q", expected, s.Path)
	}
	return nil
}

// Validate checks the limits.
func (v Votes) Validate() error {
	return errors.Join(
		config.Between("in-flight", v.InFlight, 1, 1000),
		config.Between("batch", v.Batch, 1, 1000),
		config.Between("queue", v.Queue, 1, 1_000_000),
		config.Between("max-wait", v.MaxWait, 10*time.Millisecond, 30*time.Second),
		config.Between("timeout", v.Timeout, 50*time.Millisecond, 30*time.Second),
		config.Between("patience", v.Patience, 10*time.Millisecond, 30*time.Second),
		config.Between("ticket-wait", v.TicketWait, 0, 30*time.Second),
		config.Between("retries", v.Retries, 1, 1_000_000),
	)
}

// Validate checks the limits.
func (r Reads) Validate() error {
	return errors.Join(
		config.Between("in-flight", r.InFlight, 1, 1000),
		config.Between("batch", r.Batch, 1, 1000),
		config.Between("queue", r.Queue, 1, 1_000_000),
		config.Between("max-wait", r.MaxWait, 10*time.Millisecond, 30*time.Second),
		config.Between("timeout", r.Timeout, 50*time.Millisecond, 30*time.Second),
	)
}

func (s Settings) engineConfig(language answer.Language) engine.Config {
	return engine.Config{
		Limits: engine.Limits{
			Tokens: s.MaxTokens, Depth: s.MaxDepth, Aliases: s.MaxAliases, Mutations: s.MaxMutations, Complexity: s.MaxComplexity,
		},
		CacheBytes:    s.DocumentCache,
		KnownBytes:    s.PersistedQueries,
		Introspection: s.Introspection,
		Language:      language,
	}
}

func (s Settings) httpConfig() httpapi.Config {
	cfg := httpapi.Config{
		Route: s.Path, MaxBody: s.MaxBody, MaxAtOnce: s.MaxRequests, Timeout: s.RequestTimeout, Streams: s.Live.streams(s.CORS.Origins),
	}
	if s.Playground {
		cfg.Playground = playground.Path
	}
	return cfg
}

func (v Votes) config() votes.Config {
	return votes.Config{
		InFlight: v.InFlight, MaxBatch: v.Batch, MaxQueue: v.Queue, MaxWait: v.MaxWait, Timeout: v.Timeout, Patience: v.Patience,
		TicketWait: v.TicketWait, Retries: uint(max(v.Retries, 0)),
	}
}

func (r Reads) config() reads.Config {
	return reads.Config{InFlight: r.InFlight, MaxBatch: r.Batch, MaxQueue: r.Queue, MaxWait: r.MaxWait, Timeout: r.Timeout}
}
