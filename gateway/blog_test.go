package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/testenv"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	likeDocument = `mutation($item: ID!, $key: String) { like(item: $item, idempotencyKey: $key) {
		success message code outcome retryable retryAfterMs item likeCount likeCountExact token timestamp } }`
	unlikeDocument = `mutation($item: ID!) { unlike(item: $item) { success message code outcome retryable likeCount } }`
)

// asAlice are the headers of somebody with a session.
func asAlice() []string { return []string{"Authorization", "Bearer " + aSession} }

func TestS61LikesAreAnsweredAsData(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	liked := r.ask(likeDocument, variables{"item": aPost}, asAlice()...).field(t, "like")
	want := map[string]any{
		"success": true, "message": "点赞成功", "code": "OK", "outcome": "COUNTED", "retryable": false, "retryAfterMs": nil, "item": aPost,
		"likeCount": 1.0, "likeCountExact": "1", "token": aToken, "timestamp": decided,
	}
	if diff := cmp.Diff(want, liked); diff != "" {
		t.Error(diff)
	}
	for _, step := range []struct {
		document, field, code, message string
		headers                        []string
		count                          any
	}{
		{likeDocument, "like", "ALREADY_LIKED", "已经点过赞", asAlice(), nil},
		{unlikeDocument, "unlike", "OK", "取消点赞成功", asAlice(), 0.0},
		{unlikeDocument, "unlike", "NOT_LIKED", "尚未点赞", asAlice(), nil},
		{likeDocument, "like", "OK", "Liked", append(asAlice(), "Accept-Language", "en"), 1.0},
		{likeDocument, "like", "UNAUTHENTICATED", "身份验证失败", nil, nil},
	} {
		got := r.ask(step.document, variables{"item": aPost}, step.headers...).field(t, step.field)
		outcome := "NONE"
		if step.code == "OK" {
			outcome = "COUNTED"
		}
		if got["code"] != step.code || got["message"] != step.message || got["outcome"] != outcome || got["likeCount"] != step.count || got["retryable"] != false {
			t.Errorf("%s: %v, want %s", step.field, got, step.code)
		}
	}
	for _, bad := range []variables{{"item": "not an item"}, {"item": ""}, {"item": aPost, "key": "no uuid"}} {
		if got := r.ask(likeDocument, bad, asAlice()...).field(t, "like"); got["code"] != "INVALID_ARGUMENT" {
			t.Errorf("%v: %v", bad, got)
		}
	}
	if !strings.HasPrefix(b.addresses[0], "127.0.0.1") {
		t.Errorf("came from %q", b.addresses[0])
	}
}

// A storm of likes is few calls: those that come while a call is under way go together.
func TestLikesGoTogether(t *testing.T) {
	s, b := newServices(t), newBlog()
	cfg := s.blogConfig(t, b)
	cfg.Gateway.Likes.InFlight, cfg.Gateway.Likes.MaxWait, cfg.Gateway.Likes.Timeout = 1, 30*time.Second, 30*time.Second
	release := make(chan struct{})
	var arrived atomic.Int64
	b.changes = func(req *blogv1.ChangeLikesRequest) (*blogv1.ChangeLikesResponse, error) {
		arrived.Add(int64(len(req.GetChanges())))
		<-release
		response := &blogv1.ChangeLikesResponse{}
		for range req.GetChanges() {
			response.Verdicts = append(response.Verdicts, &blogv1.LikeVerdict{Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED})
		}
		return response, nil
	}
	r := start(t, cfg)
	const likes = 100
	var clients sync.WaitGroup
	for i := range likes {
		clients.Go(func() {
			if got := r.ask(likeDocument, variables{"item": fmt.Sprint("item-", i)}, asAlice()...).field(t, "like"); got["code"] != "OK" {
				t.Errorf("%v", got)
			}
		})
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if came := r.blog.Waiting() + int(arrived.Load()); came < likes {
			return fmt.Errorf("%d came", came)
		}
		return nil
	})
	close(release)
	clients.Wait()
	if calls := b.changeCalls.Load(); calls > 2 {
		t.Errorf("%d calls", calls)
	}
}

func TestALikeWithoutAnAnswerIsUnknown(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	for _, test := range []struct {
		err           error
		key           any
		code, outcome string
		retryable     bool
	}{
		{errors.New("lost"), nil, "OUTCOME_UNKNOWN", "UNKNOWN", false},
		{errors.New("lost"), "0190163d-8694-739b-aea5-966c26f8ad91", "OUTCOME_UNKNOWN", "UNKNOWN", true},
		{refuses(connect.CodeResourceExhausted, statusv1.Code_CODE_OVERLOADED), nil, "OVERLOADED", "NONE", false},
	} {
		b.changes = func(*blogv1.ChangeLikesRequest) (*blogv1.ChangeLikesResponse, error) { return nil, asGRPC(test.err) }
		got := r.ask(likeDocument, variables{"item": aPost, "key": test.key}, asAlice()...).field(t, "like")
		if got["code"] != test.code || got["outcome"] != test.outcome || got["retryable"] != test.retryable {
			t.Errorf("%v: %v", test, got)
		}
	}
	cfg := s.config(t)
	cfg.Blog.Target = unusedAddress(t)
	away := start(t, cfg)
	if answer := away.parse(second(away.send(http.MethodPost, away.url, `{"query":"{hasLiked(items:[\"x\"])}"}`, "Content-Type", "application/json"))); fmt.Sprint(answer.Data["hasLiked"]) != "[false]" {
		t.Errorf("somebody unknown likes nothing, whoever is away: %+v", answer)
	}
	if status, text, _ := away.send(http.MethodPost, away.url, `{"query":"mutation{like(item:\"x\"){code}}"}`, append(asAlice(), "Content-Type", "application/json")...); status != http.StatusServiceUnavailable {
		t.Errorf("a session that nobody can check: %d, %s", status, text)
	}
}

// What is refused only while the system can't take votes is waited for inside, within bounds.
func TestALikeWaitsForAChangeOfEpoch(t *testing.T) {
	s, b := newServices(t), newBlog()
	cfg := s.blogConfig(t, b)
	cfg.Gateway.Votes.TicketWait = 30 * time.Second
	r := start(t, cfg)
	var refusals atomic.Int64
	b.changes = func(req *blogv1.ChangeLikesRequest) (*blogv1.ChangeLikesResponse, error) {
		verdict := &blogv1.LikeVerdict{Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true}
		if refusals.Add(1) > 3 {
			verdict = &blogv1.LikeVerdict{Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED}
		}
		return &blogv1.ChangeLikesResponse{Verdicts: []*blogv1.LikeVerdict{verdict}}, nil
	}
	if got := r.ask(likeDocument, variables{"item": aPost}, asAlice()...).field(t, "like"); got["code"] != "OK" || b.changeCalls.Load() != 4 {
		t.Errorf("after %d calls: %v", b.changeCalls.Load(), got)
	}
	cfg = s.blogConfig(t, b)
	cfg.Gateway.Votes.TicketWait = 0
	refusals.Store(-100)
	if got := start(t, cfg).ask(likeDocument, variables{"item": aPost}, asAlice()...).field(t, "like"); got["code"] != "UNAVAILABLE" || got["retryable"] != true {
		t.Errorf("without patience: %v", got)
	}
}

func second(_ int, text string, _ http.Header) string { return text }

func TestS60LoginSetsACookieAndLogoutClearsIt(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	const login = `{"query":"mutation{login(name:\"alice\",password:\"%s\"){token user{id account{name}}}}"}`
	status, text, header := r.send(http.MethodPost, r.url, fmt.Sprintf(login, "correct horse"), "Content-Type", "application/json")
	cookie := header.Get("Set-Cookie")
	if status != http.StatusOK || !strings.Contains(text, `"token":"`+aSession+`"`) || !strings.Contains(text, `"name":"alice"`) {
		t.Errorf("%d: %s", status, text)
	}
	for _, part := range []string{"littlevote_session=" + aSession + ";", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("cookie %q lacks %s", cookie, part)
		}
	}
	_, text, header = r.send(http.MethodPost, r.url, fmt.Sprintf(login, "wrong"), "Content-Type", "application/json")
	if answer := r.parse(text); answer.code(t) != "UNAUTHENTICATED" || header.Get("Set-Cookie") != "" {
		t.Errorf("%s, %v", text, header)
	}
	withCookie := []string{"Content-Type", "application/json", "Cookie", "littlevote_session=" + aSession}
	if got := r.ask(likeDocument, variables{"item": aPost}, withCookie[2:]...).field(t, "like"); got["code"] != "OK" {
		t.Errorf("%v", got)
	}
	_, text, header = r.send(http.MethodPost, r.url, `{"query":"mutation{logout}"}`, withCookie...)
	if cookie := header.Get("Set-Cookie"); !strings.Contains(text, `"logout":true`) || !strings.Contains(cookie, "Max-Age=0") {
		t.Errorf("%s, cookie %q", text, cookie)
	}
	if diff := cmp.Diff([]string{aSession}, b.ended); diff != "" {
		t.Error(diff)
	}
	if status, _, _ := r.send(http.MethodPost, r.url, `{"query":"{hasLiked(items:[])}"}`, withCookie...); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
}

func TestS59PostsUsersAndLikesOfAPage(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	r.ask(likeDocument, variables{"item": aPost}, asAlice()...)
	calls := s.queryCalls.Load()
	page := r.ask(`{ articles { next posts { id likeCount likedByMe likers { likes { item user { id account { name } } } }
		article { title content createdAt author { id account { name } } } } } }`, nil, asAlice()...).field(t, "articles")
	post := func(id string, count float64, likers ...any) map[string]any {
		return map[string]any{
			"id": id, "likeCount": count, "likedByMe": count > 0, "likers": map[string]any{"likes": append([]any{}, likers...)},
			"article": map[string]any{"title": "title of " + id, "content": "content", "createdAt": decided,
				"author": map[string]any{"id": anAuthor, "account": map[string]any{"name": "alice"}}},
		}
	}
	want := map[string]any{"next": "older", "posts": []any{
		post(bPost, 0), post(aPost, 1, map[string]any{"item": aPost, "user": map[string]any{"id": anAuthor, "account": map[string]any{"name": "alice"}}}),
	}}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Error(diff)
	}
	// One call a kind for all posts; the accounts of likers are those of each page.
	if got := [...]int64{s.queryCalls.Load() - calls, b.likedCalls.Load(), b.postCalls.Load(), b.userCalls.Load()}; got != [...]int64{1, 1, 1, 2} {
		t.Errorf("calls for counts, states, posts and users: %v", got)
	}
	mine := r.ask(`{ myLikes(first: 5, after: "x") { next likes { item likedAt post { likeCount article { title } } } } }`, nil, asAlice()...).field(t, "myLikes")
	wantMine := map[string]any{"next": "after-x", "likes": []any{map[string]any{
		"item": aPost, "likedAt": decided, "post": map[string]any{"likeCount": 1.0, "article": map[string]any{"title": "title of " + aPost}},
	}}}
	if diff := cmp.Diff(wantMine, mine); diff != "" {
		t.Error(diff)
	}
	one := r.ask(`{ article(id: "`+aPost+`") { id likedByMe } none: article(id: "7305000000000009") { id } odd: article(id: "x") { id } hasLiked(items: ["`+bPost+`", "`+aPost+`"]) }`, nil)
	wantOne := map[string]any{"article": map[string]any{"id": aPost, "likedByMe": false}, "none": nil, "odd": nil, "hasLiked": []any{false, false}}
	if diff := cmp.Diff(wantOne, one.Data); diff != "" {
		t.Error(diff)
	}
	for document, code := range map[string]string{
		`{ myLikes { next } }`:            "UNAUTHENTICATED",
		`{ articles(first: 0) { next } }`: "INVALID_ARGUMENT", `{ articles(first: 101) { next } }`: "INVALID_ARGUMENT",
		`{ hasLiked(items: ["no item"]) }`: "INVALID_ARGUMENT", `mutation { createPost(title: "t", content: "c") { id } }`: "UNAUTHENTICATED",
		`mutation { register(name: "alice", password: "correct horse") { id } }`: "ALREADY_EXISTS",
	} {
		if got := r.ask(document, nil).code(t); got != code {
			t.Errorf("%s: %s, want %s", document, got, code)
		}
	}
	made := r.ask(`mutation { createPost(title: "t", content: "c") { likeCount article { title author { id } } } }`, nil, asAlice()...).field(t, "createPost")
	if diff := cmp.Diff(map[string]any{"likeCount": 1.0, "article": map[string]any{"title": "t", "author": map[string]any{"id": anAuthor}}}, made); diff != "" {
		t.Error(diff)
	}
}

// One part that is missing leaves the others as they are.
func TestWhatCannotBeToldIsNullAlone(t *testing.T) {
	s, b := newServices(t), newBlog()
	cfg := s.blogConfig(t, b)
	cfg.Query.Target = unusedAddress(t)
	cfg.Gateway.Reads.Timeout = 100 * time.Millisecond
	r := start(t, cfg)
	answer := r.ask(`{ article(id: "`+aPost+`") { id likeCount likedByMe article { title } } }`, nil, asAlice()...)
	want := map[string]any{"id": aPost, "likeCount": nil, "likedByMe": false, "article": map[string]any{"title": "title of " + aPost}}
	if diff := cmp.Diff(want, answer.field(t, "article")); diff != "" {
		t.Error(diff)
	}
	if answer.code(t) != "UNAVAILABLE" || fmt.Sprint(answer.Errors[0].Path) != "[article likeCount]" {
		t.Errorf("%+v", answer.Errors)
	}
}

func TestLikesOfTenantsAreApart(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	b.likes[[3]string{"acme", "user:" + anAuthor, "x"}] = true
	const entities = `query($r: [_Any!]!) { _entities(representations: $r) { ... on Post { likeCount likedByMe } } }`
	for tenant, count := range map[string]float64{"acme": 1, "other": 0, "empty": 0} {
		answer := r.ask(entities, variables{"r": []any{variables{"__typename": "Post", "id": "x"}}}, "Littlevote-Tenant", tenant)
		want := []any{map[string]any{"likeCount": count, "likedByMe": false}}
		if diff := cmp.Diff(want, answer.Data["_entities"]); diff != "" {
			t.Errorf("%s: %s (%+v)", tenant, diff, answer.Errors)
		}
	}
}
