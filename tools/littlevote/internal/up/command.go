// Package up runs the whole system in one process: the services as they run alone, on stores that are given or
// embedded.
package up

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/gateway"
	"github.com/littlevote/littlevote/libs/config"
	blogservice "github.com/littlevote/littlevote/services/blog-service"
	persister "github.com/littlevote/littlevote/services/persister"
	queryservice "github.com/littlevote/littlevote/services/query-service"
	ticketservice "github.com/littlevote/littlevote/services/ticket-service"
	voteservice "github.com/littlevote/littlevote/services/vote-service"
)

// settings are all that can be set: its own, and those of every service. A key that several services have is one.
type settings struct {
	own     own
	gateway gateway.Config
	ticket  ticketservice.Config
	vote    voteservice.Config
	query   queryservice.Config
	persist persister.Config
	blog    blogservice.Config
}

// own comes first, so that its defaults hold: stores that are not named are embedded, and ports are free ones.
type own struct {
	Listen  string       `key:"listen" help:"host:port of the gateway"`
	DataDir string       `key:"data-dir" help:"where the embedded stores and the ticket key live; one process at a time"`
	Admin   config.Admin `key:"admin"`
	Ticket  struct {
		Listen string `key:"listen" help:"host:port of the ticket service; port 0 takes a free one"`
	} `key:"ticket"`
	Vote struct {
		Listen string `key:"listen" help:"host:port of the vote service; port 0 takes a free one"`
	} `key:"vote"`
	Query struct {
		Listen string `key:"listen" help:"host:port of the query service; port 0 takes a free one"`
	} `key:"query"`
	Persister struct {
		Listen string `key:"listen" help:"host:port of the persister's health; port 0 takes a free one"`
	} `key:"persister"`
	Blog struct {
		Listen string `key:"listen" help:"host:port of the blog service; port 0 takes a free one"`
	} `key:"blog"`
	Redis struct {
		URL string `key:"url" help:"redis://user:password@host:port/db, or rediss:// for TLS; a Redis Cluster: redis+cluster://host:port,host:port; Sentinels: redis+sentinel://host:port,host:port/master-name; empty runs an embedded one, whose state a restart rebuilds from Postgres"`
	} `key:"redis"`
	Kafka struct {
		Brokers []string `key:"brokers" help:"host:port of some brokers, with commas between; empty runs an embedded one on data-dir"`
	} `key:"kafka"`
	Postgres struct {
		URL string `key:"url" help:"postgres://user:password@host:port/database of the primary, or with several host:port and commas between, of which the one that takes writes is used; empty runs one on data-dir"`
	} `key:"postgres"`
	Log config.Log `key:"log"`
}

func defaults() *settings {
	s := &settings{
		gateway: gateway.DefaultConfig(),
		ticket:  ticketservice.DefaultConfig(),
		vote:    voteservice.DefaultConfig(),
		query:   queryservice.DefaultConfig(),
		persist: persister.DefaultConfig(),
		blog:    blogservice.DefaultConfig(),
	}
	s.own.Listen = "127.0.0.1:8080"
	s.own.DataDir = ".littlevote"
	s.own.Log.Level = slog.LevelWarn
	const free = "127.0.0.1:0"
	s.own.Admin.Listen, s.own.Ticket.Listen, s.own.Vote.Listen = free, free, free
	s.own.Query.Listen, s.own.Persister.Listen, s.own.Blog.Listen = free, free, free
	return s
}

// Command is `littlevote up`.
func Command() *cobra.Command {
	s := defaults()
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole system in one process",
		Long: `Runs gateway, ticket-, vote-, query-, blog-service and persister in one process until Ctrl-C. Stores that are not named by a flag
are embedded, with their data in --data-dir; started again on it, every acknowledged vote is there.

Prints name=address lines on stdout, then "ready"; logs go to stderr. Each setting is a flag, a variable and a key of the
YAML file: --ticket-cap, LITTLEVOTE_TICKET_CAP, ticket.cap. Flags win over variables, variables over the file.`,
		Args: cobra.NoArgs,
	}
	loader, err := config.Bind(cmd.Flags(), &s.own, &s.gateway, &s.ticket, &s.vote, &s.query, &s.persist, &s.blog)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err != nil {
			return err
		}
		if err := loader.Load(os.Environ()); err != nil {
			return &config.KeyError{Key: "settings", Problem: "\n" + err.Error()}
		}
		if loader.PrintOnly() {
			return loader.Print(cmd.OutOrStdout())
		}
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: s.own.Log.Level}))
		slog.SetDefault(log)
		if err := run(cmd.Context(), s, cmd.OutOrStdout(), log); err != nil {
			return fmt.Errorf("up: %w", err)
		}
		return nil
	}
	return cmd
}
