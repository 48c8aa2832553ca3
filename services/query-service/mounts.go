package queryservice

import (
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
)

// mounts is the RPC service, and who may call it. What the blog-service shows of likes it reads here, and no more.
func mounts(handler queryv1connect.QueryServiceHandler, host service.Host) []service.Mount {
	path, mounted := queryv1connect.NewQueryServiceHandler(handler, service.HandlerOptions(host)...)
	return []service.Mount{{
		Name: queryv1connect.QueryServiceName, Path: path, Handler: mounted,
		Callers: service.Callers{
			"GetTallies": {service.Gateway, service.BlogService},
			"GetVoted":   {service.Gateway, service.BlogService},
			"ListVotes":  {service.Gateway, service.BlogService},
			"GetRanking": {service.Gateway},
		},
	}}
}
