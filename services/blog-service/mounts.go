package blogservice

import (
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1/blogv1connect"
)

// handlers answer the RPC services.
type handlers struct {
	likes    blogv1connect.LikeServiceHandler
	accounts blogv1connect.AccountServiceHandler
	posts    blogv1connect.PostServiceHandler
}

// mounts are the RPC services, and who may call them: gateways, which pass on what people ask for.
func mounts(h handlers, host service.Host) []service.Mount {
	options := service.HandlerOptions(host)
	gateways := []service.Kind{service.Gateway}
	likePath, likeHandler := blogv1connect.NewLikeServiceHandler(h.likes, options...)
	accountPath, accountHandler := blogv1connect.NewAccountServiceHandler(h.accounts, options...)
	postPath, postHandler := blogv1connect.NewPostServiceHandler(h.posts, options...)
	return []service.Mount{{
		Name: blogv1connect.LikeServiceName, Path: likePath, Handler: likeHandler,
		Callers: service.Callers{
			"ChangeLikes": gateways, "HasLiked": gateways, "GetLikeCounts": gateways, "ListMyLikes": gateways, "ListLikers": gateways,
		},
	}, {
		Name: blogv1connect.AccountServiceName, Path: accountPath, Handler: accountHandler,
		Callers: service.Callers{
			"Register": gateways, "Login": gateways, "LoginByID": gateways, "Logout": gateways, "CheckSession": gateways, "GetUsers": gateways,
		},
	}, {
		Name: blogv1connect.PostServiceName, Path: postPath, Handler: postHandler,
		Callers: service.Callers{
			"CreatePost": gateways, "UpdatePost": gateways, "DeletePost": gateways, "GetPosts": gateways, "ListPosts": gateways,
		},
	}}
}
