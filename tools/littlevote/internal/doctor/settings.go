package doctor

import (
	"cmp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/libs/config"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// settings are those of the services that say something about the deployment as a whole; a store or a service that is not
// named is not looked at.
type settings struct {
	config.Dev
	DataDir     string             `key:"data-dir" help:"data directory of a running up, which says where its stores and ports are"`
	Redis       config.Redis       `key:"redis"`
	Kafka       config.Kafka       `key:"kafka"`
	Postgres    config.Postgres    `key:"postgres"`
	Participant config.Participant `key:"participant"`
	TLS         config.TLS         `key:"tls"`
	Ticket      struct {
		config.TicketKeys
		Target string `key:"target" help:"the ticket services: host:port, with commas between; empty: not looked at"`
	} `key:"ticket"`
	Vote struct {
		Target string `key:"target" help:"the vote services: host:port, with commas between; empty: not looked at"`
	} `key:"vote"`
	Query struct {
		Target string `key:"target" help:"the query services: host:port, with commas between; empty: not looked at"`
	} `key:"query"`
	Blog struct {
		Target string `key:"target" help:"the blog services: host:port, with commas between; empty: not looked at"`
	} `key:"blog"`

	admin     []string // host:port of admin ports
	listeners []string // host:port of further doors with TLS
}

func defaults() *settings {
	s := &settings{DataDir: ".littlevote", Redis: config.DefaultRedis(), Kafka: config.DefaultKafka(), Postgres: config.DefaultPostgres()}
	s.Participant = config.DefaultParticipant()
	s.Redis.URL, s.Kafka.Brokers, s.Postgres.URL = "", nil, ""
	return s
}

// flags are what only the doctor asks for.
func (s *settings) flags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&s.admin, "admin", nil,
		"admin ports of processes, host:port with commas between; of a name with several addresses all are asked")
	flags.StringSliceVar(&s.listeners, "listener", nil, "further doors with TLS whose certificates are looked at, such as the gateway's: host:port with commas between")
}

// find fills in what a running `up` says of itself, where nothing is named.
func (s *settings) find() error {
	for _, one := range []struct {
		name string
		to   *string
	}{{"redis", &s.Redis.URL}, {"postgres", &s.Postgres.URL}, {"ticket", &s.Ticket.Target}, {"vote", &s.Vote.Target}, {"query", &s.Query.Target}, {"blog", &s.Blog.Target}} {
		address, err := reach.Service(s.DataDir, one.name)
		if err != nil {
			return err
		}
		*one.to = cmp.Or(*one.to, address)
	}
	for _, one := range []struct {
		name string
		to   *[]string
	}{{"kafka", &s.Kafka.Brokers}, {"admin", &s.admin}} {
		address, err := reach.Service(s.DataDir, one.name)
		if err != nil {
			return err
		}
		if len(*one.to) == 0 && address != "" {
			*one.to = strings.Split(address, ",")
		}
	}
	return nil
}

// nothing says whether there is nothing to look at.
func (s *settings) nothing() bool {
	return s.Redis.URL == "" && s.Postgres.URL == "" && len(s.Kafka.Brokers) == 0 && len(s.admin) == 0 && len(s.listeners) == 0 && len(s.targets()) == 0 &&
		s.TLS.CertFile == "" && s.Ticket.KeyFile == ""
}

// target is a service that RPCs go to.
type target struct{ name, address string }

// targets are the replicas of all services that are named.
func (s *settings) targets() []target {
	var all []target
	for _, t := range []target{
		{"ticket-service", s.Ticket.Target}, {"vote-service", s.Vote.Target}, {"query-service", s.Query.Target}, {"blog-service", s.Blog.Target},
	} {
		for address := range strings.SplitSeq(t.address, ",") {
			if address != "" {
				all = append(all, target{t.name, address})
			}
		}
	}
	return all
}
