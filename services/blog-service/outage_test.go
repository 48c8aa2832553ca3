package blogservice_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/testenv"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func TestTenantsDoNotSharePosts(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	i := w.start()
	p := w.post(i, w.register(i, "alice"), "of one tenant")
	v := *w
	v.tenant = testenv.Namespace(t)
	for range 2 {
		if got := v.read(i, p.GetId(), ""); got.GetPost() != nil {
			t.Errorf("another tenant reads %v", got)
		}
		if got := w.read(i, p.GetId(), ""); got.GetPost() == nil {
			t.Error("its own tenant does not find it")
		}
	}
	list, err := i.ListPosts(t.Context(), &blogv1.ListPostsRequest{Tenant: v.tenant})
	if err != nil || len(list.GetPosts()) != 0 {
		t.Errorf("another tenant lists %v, %v", list, err)
	}
}

func TestS67WritersAreLimitedPerAuthorAndAddress(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	w.cfg.Blog.Limits.PostWritesPerAuthor, w.cfg.Blog.Limits.PostWritesPerAddress = 3, 5
	one, other := w.start(), w.start()
	address := "2001:db8:" + newKey()[32:] + "::1"
	create := func(i *instance, author *blogv1.User) error {
		_, err := i.CreatePost(t.Context(), &blogv1.CreatePostRequest{
			Tenant: w.tenant, AuthorId: author.GetId(), Title: "spam", Content: "spam", Address: address,
		})
		return err
	}
	alice, bob := w.register(one, "alice"), w.register(one, "bob")
	for n := range 3 {
		if err := create([]*instance{one, other}[n%2], alice); err != nil {
			t.Fatal(err)
		}
	}
	if d := wants(t, "the author's limit", create(other, alice), statusv1.Code_CODE_RATE_LIMITED); d.GetRetryAfter().AsDuration() <= 0 {
		t.Errorf("it says %v", d)
	}
	for range 2 {
		if err := create(one, bob); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, "the address's limit", create(other, bob), statusv1.Code_CODE_RATE_LIMITED)
	list, err := one.ListPosts(t.Context(), &blogv1.ListPostsRequest{Tenant: w.tenant})
	if err != nil || len(list.GetPosts()) != 5 {
		t.Errorf("a refused post is there: %v, %v", list, err)
	}
}

// S66, S67: a viral post is read from memory.
func TestS66AHotPostIsServedFromMemory(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	i := w.start()
	p := w.post(i, w.register(i, "alice"), "viral")
	for range 100 {
		if got := w.read(i, p.GetId(), ""); !proto.Equal(got.GetPost(), p) || got.GetStale() {
			t.Fatalf("%v", got)
		}
	}
	levels := i.levels(t)
	if levels["local"] < 85 || levels["redis"] < 9 || levels["postgres"] != 0 {
		t.Errorf("100 reads of one post came from %v, want the first ten or so from Redis", levels)
	}
	if i.metrics(t)["littlevote_blog_hot_keys{}"] != 1 {
		t.Error("no metric tells of a hot key")
	}
}

func TestWhatWorksWithoutAStore(t *testing.T) {
	server, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w := unlimited(newWorld(t, server.URL()))
	w.cfg.Blog.Timeout = time.Second
	i := w.start()
	alice := w.register(i, "alice")
	token := w.login(i, "alice").GetToken()
	p, unread := w.post(i, alice, "a post"), w.post(i, alice, "another")
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE blog_posts RENAME TO gone"); err != nil {
		t.Fatal(err)
	}
	if got := w.read(i, p.GetId(), ""); !proto.Equal(got.GetPost(), p) {
		t.Errorf("without the table: %v", got)
	}
	got, err := i.GetPosts(t.Context(), &blogv1.GetPostsRequest{Tenant: w.tenant, Ids: []string{p.GetId()}, Fresh: true})
	if err != nil || !got.GetResults()[0].GetStale() {
		t.Errorf("a fresh read without the table: %v, %v", got, err)
	}
	_, err = i.CreatePost(t.Context(), &blogv1.CreatePostRequest{Tenant: w.tenant, AuthorId: alice.GetId(), Title: "x", Content: "x"})
	if d := wants(t, "a write without the table", err, statusv1.Code_CODE_UNAVAILABLE); !d.GetRetryable() || d.GetOutcome() != statusv1.Outcome_OUTCOME_NONE {
		t.Errorf("it says %v", d)
	}
	if _, err := w.check(i, token); err != nil {
		t.Errorf("sessions need no database: %v", err)
	}
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE gone RENAME TO blog_posts"); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if len(i.health.Report(t.Context()).Degraded) == 0 {
			return errors.New("nobody has noticed")
		}
		return nil
	})
	for _, post := range []*blogv1.Post{p, unread} {
		if got := w.read(i, post.GetId(), alice.GetId()); !proto.Equal(got.GetPost(), post) || got.GetStale() {
			t.Errorf("without Redis: %v", got)
		}
	}
	_, err = w.check(i, token)
	wants(t, "a session without Redis", err, statusv1.Code_CODE_UNAVAILABLE)
	_, err = i.Login(t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: "alice", Password: password})
	wants(t, "a login without Redis", err, statusv1.Code_CODE_UNAVAILABLE)
	if !i.health.Report(t.Context()).Ready {
		t.Error("it is not ready, though it serves posts")
	}
}
