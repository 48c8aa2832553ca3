package blogservice_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/littlevote/littlevote/libs/testenv"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// unlimited lets a test write as much as it likes.
func unlimited(w *world) *world {
	w.cfg.Blog.Limits.PostWritesPerAuthor, w.cfg.Blog.Limits.PostWritesPerAddress = 1_000_000, 1_000_000
	return w
}

func TestS59PostsAreWrittenReadAndListed(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	one, other := w.start(), w.start()
	alice, bob := w.register(one, "alice"), w.register(other, "bob")
	var newest []*blogv1.Post
	for n := range 7 {
		author := []*blogv1.User{alice, bob}[n%2]
		newest = append([]*blogv1.Post{w.post([]*instance{one, other}[n%2], author, fmt.Sprint("post ", n))}, newest...)
	}
	var listed []*blogv1.Post
	for after := ""; ; {
		page, err := other.ListPosts(t.Context(), &blogv1.ListPostsRequest{Tenant: w.tenant, PageSize: 3, After: after})
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, page.GetPosts()...)
		if after = page.GetNext(); after == "" {
			break
		}
	}
	if diff := cmp.Diff(newest, listed, protocmp.Transform()); diff != "" {
		t.Fatalf("newest first, in pages: %s", diff)
	}
	of, err := one.ListPosts(t.Context(), &blogv1.ListPostsRequest{Tenant: w.tenant, AuthorId: "user:" + bob.GetId()})
	if err != nil || len(of.GetPosts()) != 3 || of.GetNext() != "" {
		t.Errorf("bob's: %v, %v", of, err)
	}
	got, err := other.GetPosts(t.Context(), &blogv1.GetPostsRequest{
		Tenant: w.tenant, Ids: []string{newest[2].GetId(), "0000000000000001", "x", newest[0].GetId(), newest[2].GetId()},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []*blogv1.Post{newest[2], nil, nil, newest[0], newest[2]} {
		if !proto.Equal(got.GetResults()[n].GetPost(), want) {
			t.Errorf("post %d is %v", n, got.GetResults()[n])
		}
	}
}

// However long posts are, an answer fits into what callers take.
func TestAnswersAreBounded(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	i := w.start()
	alice := w.register(i, "alice")
	long := strings.Repeat("語", 20_000) // 60 kB
	var ids []string
	for range 60 {
		resp, err := i.CreatePost(t.Context(), &blogv1.CreatePostRequest{Tenant: w.tenant, AuthorId: alice.GetId(), Title: "long", Content: long})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, resp.GetPost().GetId())
	}
	listed := 0
	for after := ""; ; {
		page, err := i.ListPosts(t.Context(), &blogv1.ListPostsRequest{Tenant: w.tenant, PageSize: 100, After: after})
		if err != nil || proto.Size(page) > 4<<20 {
			t.Fatalf("%d bytes, %v", proto.Size(page), err)
		}
		listed += len(page.GetPosts())
		if after = page.GetNext(); after == "" {
			break
		}
	}
	if listed != len(ids) {
		t.Errorf("%d posts are listed", listed)
	}
	_, err := i.GetPosts(t.Context(), &blogv1.GetPostsRequest{Tenant: w.tenant, Ids: ids})
	wants(t, "3.6 MB of posts", err, statusv1.Code_CODE_INVALID_ARGUMENT)
	if _, err := i.GetPosts(t.Context(), &blogv1.GetPostsRequest{Tenant: w.tenant, Ids: ids[:50]}); err != nil {
		t.Error(err)
	}
}

// Ids tell their time, by the database's clock, and no two are the same however many instances make them at once.
func TestPostIdsTellTheirTimeAndAreUnique(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	instances := []*instance{w.start(), w.start()}
	alice := w.register(instances[0], "alice")
	var now time.Time
	if err := w.pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 25 {
				p := w.post(instances[n%2], alice, "a post")
				id, err := strconv.ParseInt(p.GetId(), 10, 64)
				if err != nil || len(p.GetId()) != 16 || id >= 1<<53 {
					t.Errorf("id %q", p.GetId())
				}
				made := time.UnixMilli(id / 4096)
				if made.Before(now.Add(-time.Second)) || made.After(now.Add(time.Minute)) || !p.GetCreatedAt().AsTime().Equal(made) {
					t.Errorf("id %s is of %v, and the post of %v", p.GetId(), made, p.GetCreatedAt().AsTime())
				}
				mu.Lock()
				if seen[p.GetId()] {
					t.Errorf("%s came twice", p.GetId())
				}
				seen[p.GetId()] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestS65TheAuthorReadsTheirWriteThroughAnyInstance(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	w.cfg.Blog.Hot.Least = 1 // everything gets into memory
	one, other := w.start(), w.start()
	alice := w.register(one, "alice")
	p := w.post(one, alice, "first")
	w.read(other, p.GetId(), "")
	for n := range 30 {
		title := fmt.Sprint("edit ", n)
		changed, err := one.UpdatePost(t.Context(), &blogv1.UpdatePostRequest{Tenant: w.tenant, AuthorId: alice.GetId(), Id: p.GetId(), Title: title})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.read(other, p.GetId(), "user:"+alice.GetId()).GetPost(); !proto.Equal(got, changed.GetPost()) || got.GetTitle() != title {
			t.Fatalf("after %q the author reads %v", title, got)
		}
	}
	testenv.Eventually(t, 5*time.Second, func() error { // and everybody soon after
		if got := w.read(other, p.GetId(), "").GetPost(); got.GetTitle() != "edit 29" {
			return fmt.Errorf("others read %q", got.GetTitle())
		}
		return nil
	})
	if _, err := other.DeletePost(t.Context(), &blogv1.DeletePostRequest{Tenant: w.tenant, AuthorId: alice.GetId(), Id: p.GetId()}); err != nil {
		t.Fatal(err)
	}
	if got := w.read(one, p.GetId(), alice.GetId()); got.GetPost() != nil {
		t.Errorf("the author reads the deleted %v", got)
	}
	list, err := one.ListPosts(t.Context(), &blogv1.ListPostsRequest{Tenant: w.tenant})
	if err != nil || len(list.GetPosts()) != 0 {
		t.Errorf("listed: %v, %v", list, err)
	}
}

func TestOnlyTheAuthorChangesAPost(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	i := w.start()
	alice, bob := w.register(i, "alice"), w.register(i, "bob")
	p := w.post(i, alice, "alice's")
	update := func(by, id, title string, version int64) error {
		_, err := i.UpdatePost(t.Context(), &blogv1.UpdatePostRequest{Tenant: w.tenant, AuthorId: by, Id: id, Title: title, IfVersion: version})
		return err
	}
	remove := func(tenant, by, id string) error {
		_, err := i.DeletePost(t.Context(), &blogv1.DeletePostRequest{Tenant: tenant, AuthorId: by, Id: id})
		return err
	}
	wants(t, "bob's update", update(bob.GetId(), p.GetId(), "bob's", 0), statusv1.Code_CODE_PERMISSION_DENIED)
	wants(t, "bob's deletion", remove(w.tenant, bob.GetId(), p.GetId()), statusv1.Code_CODE_PERMISSION_DENIED)
	wants(t, "another tenant's deletion", remove(testenv.Namespace(t), alice.GetId(), p.GetId()), statusv1.Code_CODE_NOT_FOUND)
	wants(t, "no such post", update(alice.GetId(), "0000000000000001", "x", 0), statusv1.Code_CODE_NOT_FOUND)
	wants(t, "no id", update(alice.GetId(), "x", "x", 0), statusv1.Code_CODE_NOT_FOUND)
	wants(t, "nobody's update", update("", p.GetId(), "x", 0), statusv1.Code_CODE_UNAUTHENTICATED)
	wants(t, "nothing to change", update(alice.GetId(), p.GetId(), "", 0), statusv1.Code_CODE_INVALID_ARGUMENT)
	wants(t, "another version", update(alice.GetId(), p.GetId(), "x", 2), statusv1.Code_CODE_FAILED_PRECONDITION)
	if err := update(alice.GetId(), p.GetId(), "changed", 1); err != nil {
		t.Error(err)
	}
	if got := w.read(i, p.GetId(), alice.GetId()).GetPost(); got.GetTitle() != "changed" || got.GetContent() != p.GetContent() || got.GetVersion() != 2 {
		t.Errorf("%v", got)
	}
	for range 2 { // a repetition is no error
		if err := remove(w.tenant, alice.GetId(), p.GetId()); err != nil {
			t.Error(err)
		}
	}
	wants(t, "an update of what is gone", update(alice.GetId(), p.GetId(), "x", 0), statusv1.Code_CODE_NOT_FOUND)
}

func TestPostsThatAreRefused(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	i := w.start()
	alice := w.register(i, "alice")
	for name, c := range map[string]struct {
		change func(*blogv1.CreatePostRequest)
		want   statusv1.Code
	}{
		"no title":         {func(r *blogv1.CreatePostRequest) { r.Title = "" }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a long title":     {func(r *blogv1.CreatePostRequest) { r.Title = strings.Repeat("ä", 201) }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"two lines":        {func(r *blogv1.CreatePostRequest) { r.Title = "a\nb" }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"no content":       {func(r *blogv1.CreatePostRequest) { r.Content = "" }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a long content":   {func(r *blogv1.CreatePostRequest) { r.Content = strings.Repeat("x", 20_001) }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a NUL":            {func(r *blogv1.CreatePostRequest) { r.Content = "a\x00b" }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a key":            {func(r *blogv1.CreatePostRequest) { r.IdempotencyKey = "1" }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"a tenant":         {func(r *blogv1.CreatePostRequest) { r.Tenant = "A" }, statusv1.Code_CODE_INVALID_ARGUMENT},
		"nobody":           {func(r *blogv1.CreatePostRequest) { r.AuthorId = "" }, statusv1.Code_CODE_UNAUTHENTICATED},
		"a JWT's voter":    {func(r *blogv1.CreatePostRequest) { r.AuthorId = "jwt:0123" }, statusv1.Code_CODE_UNAUTHENTICATED},
		"no such user":     {func(r *blogv1.CreatePostRequest) { r.AuthorId = "0000000000000001" }, statusv1.Code_CODE_UNAUTHENTICATED},
		"another tenant's": {func(r *blogv1.CreatePostRequest) { r.Tenant = testenv.Namespace(t) }, statusv1.Code_CODE_UNAUTHENTICATED},
	} {
		req := &blogv1.CreatePostRequest{Tenant: w.tenant, AuthorId: alice.GetId(), Title: "a title", Content: "what it says"}
		c.change(req)
		_, err := i.CreatePost(t.Context(), req)
		wants(t, name, err, c.want)
	}
	for _, req := range []*blogv1.ListPostsRequest{{PageSize: 101}, {PageSize: -1}, {After: "x"}, {Tenant: "A"}} {
		_, err := i.ListPosts(t.Context(), req)
		wants(t, req.String(), err, statusv1.Code_CODE_INVALID_ARGUMENT)
	}
	for _, n := range []int{0, 1001} {
		_, err := i.GetPosts(t.Context(), &blogv1.GetPostsRequest{Ids: make([]string, n)})
		wants(t, fmt.Sprint(n, " ids"), err, statusv1.Code_CODE_INVALID_ARGUMENT)
		_, err = i.GetUsers(t.Context(), &blogv1.GetUsersRequest{Ids: make([]string, n)})
		wants(t, fmt.Sprint(n, " ids"), err, statusv1.Code_CODE_INVALID_ARGUMENT)
	}
}

func TestAKeyMakesOnePost(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	instances := []*instance{w.start(), w.start()}
	alice, bob := w.register(instances[0], "alice"), w.register(instances[0], "bob")
	req := &blogv1.CreatePostRequest{Tenant: w.tenant, AuthorId: alice.GetId(), Title: "once", Content: "only", IdempotencyKey: newKey()}
	var mu sync.Mutex
	ids := map[string]bool{}
	var wg sync.WaitGroup
	for n := range 10 {
		wg.Go(func() {
			resp, err := instances[n%2].CreatePost(t.Context(), req)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[resp.GetPost().GetId()] = true
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("made %v", ids)
	}
	for _, change := range []func(*blogv1.CreatePostRequest){
		func(r *blogv1.CreatePostRequest) { r.Title = "on" },
		func(r *blogv1.CreatePostRequest) { r.Title, r.Content = "onceo", "nly" },
	} {
		other := proto.CloneOf(req)
		change(other)
		_, err := instances[0].CreatePost(t.Context(), other)
		wants(t, other.String(), err, statusv1.Code_CODE_KEY_REUSED)
	}
	theirs := proto.CloneOf(req)
	theirs.AuthorId = bob.GetId()
	if resp, err := instances[0].CreatePost(t.Context(), theirs); err != nil || ids[resp.GetPost().GetId()] {
		t.Errorf("another author's key is their own: %v, %v", resp, err)
	}
}
