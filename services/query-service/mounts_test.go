package queryservice

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
)

// TestCallers tries every procedure as every kind of process: who gets through is written down here once more.
func TestCallers(t *testing.T) {
	host := service.Host{Log: slog.New(slog.DiscardHandler)}
	got := servicetest.Callers(t, mounts(queryv1connect.UnimplementedQueryServiceHandler{}, host))
	want := map[string][]service.Kind{
		"QueryService/GetTallies": {service.Gateway, service.BlogService},
		"QueryService/GetRanking": {service.Gateway},
		"QueryService/GetVoted":   {service.Gateway, service.BlogService},
		"QueryService/ListVotes":  {service.Gateway, service.BlogService},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who may call what (-want +got):\n%s", diff)
	}
}
