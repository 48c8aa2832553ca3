package floor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/littlevote/littlevote/tools/bench/internal/floor/generated"
)

// documents is how many parsed documents the server keeps; the benchmark sends four.
const documents = 1000

// Handler serves GraphQL by POST on every path.
func Handler() http.Handler {
	server := handler.New(generated.NewExecutableSchema(generated.Config{Resolvers: newResolver()}))
	server.AddTransport(transport.POST{})
	server.SetQueryCache(lru.New[*ast.QueryDocument](documents))
	return server
}

// Serve answers on the listener until ctx ends.
func Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: Handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
