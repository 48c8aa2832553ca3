package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
	"github.com/littlevote/littlevote/libs/testenv"
)

// routed is what federation/router.mjs reads.
type routed struct {
	URL      string           `json:"url"`
	SDL      string           `json:"sdl"`
	Posts    []map[string]any `json:"posts"`
	Requests []routedRequest  `json:"requests"`
}

type routedRequest struct {
	Query   string            `json:"query"`
	Headers map[string]string `json:"headers,omitempty"`
}

// A supergraph of this gateway and of a subgraph that owns the posts, made by Apollo's composition and served by Apollo's
// gateway: each part of a post comes from where it is, and of us it takes one call, whatever the number of posts.
func TestAForeignSubgraphsPostsHaveOurLikes(t *testing.T) {
	s, b := newServices(t), newBlog()
	r := start(t, s.blogConfig(t, b))
	for _, like := range []struct{ voter, item string }{{"user:" + anAuthor, "n-1"}, {"jwt:x", "n-1"}, {"jwt:x", "n-3"}} {
		b.likes[[3]string{"", like.voter, like.item}] = true
	}
	posts := []map[string]any{}
	for _, id := range []string{"n-1", "n-2", "n-3", "not/liked"} {
		posts = append(posts, map[string]any{"id": id, "title": "title of " + id, "headline": "…"})
	}
	const query = `{ posts { id title likeCount likedByMe } }`
	answers := route(t, routed{
		URL: r.url, SDL: sdl(r), Posts: posts, Requests: []routedRequest{
			{Query: query, Headers: map[string]string{"authorization": "Bearer " + aSession}},
			{Query: query},
			{Query: `{ articles { posts { id article { title author { account { name } } } } } }`},
		},
	})
	post := func(id string, count int, mine bool) any {
		return map[string]any{"id": id, "title": "title of " + id, "likeCount": float64(count), "likedByMe": mine}
	}
	article := func(id string) any {
		return map[string]any{"id": id, "article": map[string]any{
			"title": "title of " + id, "author": map[string]any{"account": map[string]any{"name": "alice"}},
		}}
	}
	want := []map[string]any{
		{"posts": []any{post("n-1", 2, true), post("n-2", 0, false), post("n-3", 1, false), post("not/liked", 0, false)}},
		{"posts": []any{post("n-1", 2, false), post("n-2", 0, false), post("n-3", 1, false), post("not/liked", 0, false)}},
		{"articles": map[string]any{"posts": []any{article(bPost), article(aPost)}}},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], answers[i].Data); diff != "" {
			t.Errorf("answer %d: %s (%+v)", i, diff, answers[i].Errors)
		}
	}
	if got := [...]int64{s.queryCalls.Load(), b.likedCalls.Load()}; got != [...]int64{2, 1} {
		t.Errorf("calls for counts and states: %v", got)
	}
}

// sdl asks for the schema as a router does.
func sdl(r *running) string {
	text, _ := r.ask(`{ _service { sdl } }`, nil).field(r.t, "_service")["sdl"].(string)
	return text
}

// route runs the router, and returns its answers.
func route(t *testing.T, input routed) []answerJSON {
	t.Helper()
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var problems bytes.Buffer
	command := exec.CommandContext(t.Context(), "node", filepath.Join(routerDir(t), "router.mjs"))
	command.Env = append(os.Environ(), "APOLLO_TELEMETRY_DISABLED=true")
	command.Stdin, command.Stderr = bytes.NewReader(text), &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("the router: %v\n%s", err, problems.String())
	}
	var answers struct {
		Answers []answerJSON `json:"answers"`
	}
	if err := json.Unmarshal(output, &answers); err != nil {
		t.Fatalf("%v in %s\n%s", err, output, problems.String())
	}
	return answers.Answers
}

// routerDir is a folder with the router and the packages that federation/package-lock.json pins, installed once for all runs
// of this machine: the first takes some ten seconds, and needs npm.
func routerDir(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"package.json", "package-lock.json", "router.mjs"}
	files, sum := make([][]byte, len(names)), sha256.New()
	for i, name := range names {
		if files[i], err = os.ReadFile(filepath.Join("federation", name)); err != nil {
			t.Fatal(err)
		}
		sum.Write(files[i])
	}
	dir := filepath.Join(cache, "littlevote", "federation-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var lock *filelock.Lock
	testenv.Eventually(t, 2*time.Minute, func() (err error) {
		lock, err = filelock.Acquire(filepath.Join(dir, "lock"))
		return err
	})
	defer func() { _ = lock.Release() }()
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), files[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, output)
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
