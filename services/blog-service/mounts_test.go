package blogservice

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1/blogv1connect"
)

// TestCallers tries every procedure as every kind of process: who gets through is written down here once more.
func TestCallers(t *testing.T) {
	host := service.Host{Log: slog.New(slog.DiscardHandler)}
	got := servicetest.Callers(t, mounts(handlers{
		likes: blogv1connect.UnimplementedLikeServiceHandler{}, accounts: blogv1connect.UnimplementedAccountServiceHandler{},
		posts: blogv1connect.UnimplementedPostServiceHandler{},
	}, host))
	want := map[string][]service.Kind{
		"LikeService/ChangeLikes":     {service.Gateway},
		"LikeService/HasLiked":        {service.Gateway},
		"LikeService/GetLikeCounts":   {service.Gateway},
		"LikeService/ListMyLikes":     {service.Gateway},
		"LikeService/ListLikers":      {service.Gateway},
		"AccountService/Register":     {service.Gateway},
		"AccountService/Login":        {service.Gateway},
		"AccountService/LoginByID":    {service.Gateway},
		"AccountService/Logout":       {service.Gateway},
		"AccountService/CheckSession": {service.Gateway},
		"AccountService/GetUsers":     {service.Gateway},
		"PostService/CreatePost":      {service.Gateway},
		"PostService/UpdatePost":      {service.Gateway},
		"PostService/DeletePost":      {service.Gateway},
		"PostService/GetPosts":        {service.Gateway},
		"PostService/ListPosts":       {service.Gateway},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who may call what (-want +got):\n%s", diff)
	}
}
