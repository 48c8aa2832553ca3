package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// LikesBallot is the ballot that likes are votes on.
const LikesBallot = "likes"

const (
	accounts   = 3 // readers with a session
	strangers  = 4 // readers with a JWT
	newPosts   = 4
	password   = "correct horse battery"
	hotFor     = 30 * 24 * time.Hour // of the ballot of likes
	likeFields = `{code outcome}`
)

// sessionOver is the code of a like that was sent in a session that nobody knows any more.
const sessionOver = "SESSION_OVER"

// Readers like items and take that back, each reader one thing after the other, or the same twice at once: posts, whose ids tell
// that they are new; items of others, which tell nothing; and posts that turn cold while the run goes on.
type Readers struct {
	History *checker.History

	gateways []*voter.Client
	readers  []*reader
	busy     time.Time            // until then everybody likes everything
	cold     map[string]time.Time // from when on a post is cold; from busy until then nobody touches it
	stopped  chan struct{}
	once     sync.Once
	turns    sync.WaitGroup
}

// reader is somebody who likes.
type reader struct {
	name   string // of an account; empty for who has a JWT
	voter  string
	ballot string
	items  []string

	mu    sync.Mutex
	token string
}

// Busy is how long after their making posts that turn cold are liked, until they are cold: a state that was changed a moment ago is
// not evicted.
const Busy = 8 * time.Second

// Admit makes accounts and posts, and lets readers like until they are stopped. coldIn says of further posts after what time they
// turn cold.
func Admit(t scope.Scope, s *system.System, seed uint64, coldIn ...time.Duration) *Readers {
	t.Helper()
	r := &Readers{History: &checker.History{}, gateways: s.Gateways, stopped: make(chan struct{}), cold: map[string]time.Time{}}
	for i := range accounts {
		one := &reader{name: fmt.Sprintf("reader-%d", i), ballot: LikesBallot}
		scope.Eventually(t, openPatience, func() error { return r.register(t.Context(), one) })
		r.readers = append(r.readers, one)
	}
	items := []string{"news:1", "news:2"} // of another subgraph
	posts := r.publish(t, r.readers[0])
	for i, in := range coldIn {
		old := oldPost(t, s, r.readers[0], i, in)
		posts, r.cold[old] = append(posts, old), time.Now().Add(in+time.Second)
	}
	for i := range strangers {
		name := fmt.Sprintf("stranger-%d", i)
		for _, tenant := range []string{"", OtherTenant} {
			r.readers = append(r.readers, &reader{
				voter: system.VoterOf(name), ballot: fullName(tenant, LikesBallot), token: s.Token(t, name, tenant),
			})
		}
	}
	for _, one := range r.readers {
		one.items = items
		if one.ballot == LikesBallot {
			one.items = append(slices.Clone(posts), items...) // the other tenant has no posts
		}
	}
	r.busy = time.Now().Add(Busy)
	r.start(t, seed)
	return r
}

func (r *Readers) start(t scope.Scope, seed uint64) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	for i, one := range r.readers {
		random := rand.New(rand.NewPCG(seed, uint64(2000+i)))
		r.turns.Go(func() {
			for !r.over() {
				r.turn(ctx, random, one)
				r.pause(time.Duration(random.Int64N(int64(4 * refusedPause))))
			}
		})
	}
	t.Cleanup(func() {
		cancel() // only where something failed before they were stopped
		r.Stop()
	})
}

func (r *Readers) over() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}

func (r *Readers) pause(d time.Duration) {
	select {
	case <-r.stopped:
	case <-time.After(d):
	}
}

// Stop lets everybody finish what is on its way.
func (r *Readers) Stop() {
	r.once.Do(func() { close(r.stopped) })
	r.turns.Wait()
}

// AwaitMore waits until so many more likes and unlikes have been acknowledged.
func (r *Readers) AwaitMore(t scope.Scope, likes int, patience time.Duration) {
	t.Helper()
	from := r.History.Number(checker.Counted)
	scope.Eventually(t, patience, func() error {
		if n := r.History.Number(checker.Counted) - from; n < likes {
			return fmt.Errorf("%d of %d likes acknowledged; refused or never sent: %d, unknown: %d",
				n, likes, r.History.Number(checker.None), r.History.Number(checker.Unknown))
		}
		return nil
	})
}

// register makes an account and begins a session.
func (r *Readers) register(ctx context.Context, one *reader) error {
	err := r.gateways[0].Do(ctx, `mutation($n:String!,$p:String!){register(name:$n,password:$p){id}}`,
		map[string]any{"n": one.name, "p": password}, &struct{}{})
	if err != nil && voter.Code(err) != "ALREADY_EXISTS" {
		return err
	}
	return r.login(ctx, r.gateways[0], one)
}

func (r *Readers) login(ctx context.Context, gateway *voter.Client, one *reader) error {
	var data struct {
		Login struct {
			Token string
			User  struct{ ID string }
		}
	}
	err := gateway.Do(ctx, `mutation($n:String!,$p:String!){login(name:$n,password:$p){token user{id}}}`,
		map[string]any{"n": one.name, "p": password}, &data)
	if err != nil {
		return err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	one.token, one.voter = data.Login.Token, "user:"+data.Login.User.ID
	return nil
}

// publish makes posts.
func (r *Readers) publish(t scope.Scope, author *reader) []string {
	t.Helper()
	var posts []string
	for i := range newPosts {
		key := voter.NewKey()
		scope.Eventually(t, openPatience, func() error {
			var data struct{ CreatePost struct{ ID string } }
			err := r.gateways[0].As(author.token).Do(t.Context(), `mutation($t:String!,$k:String){createPost(title:$t,content:"…",idempotencyKey:$k){id}}`,
				map[string]any{"t": fmt.Sprintf("Post %d", i), "k": key}, &data)
			if err == nil {
				posts = append(posts, data.CreatePost.ID)
			}
			return err
		})
	}
	return posts
}

// oldPost puts a post into the tables that turns cold after a while.
func oldPost(t scope.Scope, s *system.System, author *reader, n int, coldIn time.Duration) string {
	t.Helper()
	made := time.Now().Add(coldIn - hotFor)
	id := made.UnixMilli()*4096 + int64(n)
	by, err := strconv.ParseInt(author.voter[len("user:"):], 10, 64)
	if err == nil {
		_, err = s.Pool.Exec(t.Context(), `
			INSERT INTO blog_posts (id, tenant, author, title, content, created_at, updated_at, created_hash)
			VALUES ($1, '', $2, 'Old', '…', $3, $3, '')`, id, by, made)
	}
	if err != nil {
		t.Fatalf("an old post: %v", err)
	}
	return fmt.Sprintf("%016d", id)
}

// turn is one like or unlike, or two likes at once, of which one may count.
func (r *Readers) turn(ctx context.Context, random *rand.Rand, one *reader) {
	item := one.items[random.IntN(len(one.items))]
	if now := time.Now(); now.After(r.busy) && now.Before(r.cold[item]) {
		return
	}
	a := checker.Attempt{
		ID: voter.NewKey(), Keyed: true, Ballot: one.ballot, Voter: one.voter, Names: []string{item},
		Unlikes: random.IntN(5) < 2,
	}
	first := random.IntN(len(r.gateways))
	if random.IntN(5) > 0 {
		r.insist(ctx, one, first, a)
		return
	}
	var both sync.WaitGroup
	twin := a
	twin.ID = voter.NewKey()
	both.Go(func() { r.insist(ctx, one, first+1, twin) })
	r.insist(ctx, one, first, a)
	both.Wait()
}

// insist sends it again under its key while nobody knows its end, for some tries.
func (r *Readers) insist(ctx context.Context, one *reader, at int, a checker.Attempt) {
	for i := range tries {
		if r.send(ctx, one, at+i, a) != checker.Unknown {
			return
		}
		r.pause(refusedPause)
	}
}

func (r *Readers) send(ctx context.Context, one *reader, at int, a checker.Attempt) checker.Outcome {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	gateway := r.gateways[at%len(r.gateways)]
	one.mu.Lock()
	token := one.token
	one.mu.Unlock()
	what := "like"
	if a.Unlikes {
		what = "unlike"
	}
	var data struct {
		Did struct{ Code, Outcome string }
	}
	a.Sent = time.Now()
	err := gateway.As(token).Do(ctx, `mutation($i:ID!,$k:String){did:`+what+`(item:$i,idempotencyKey:$k)`+likeFields+`}`,
		map[string]any{"i": a.Names[0], "k": a.ID}, &data)
	a.Answered = time.Now()
	a.Outcome, a.Code = said(checker.Outcome(data.Did.Outcome), data.Did.Code, err)
	if one.name != "" && a.Code == "UNAUTHENTICATED" {
		// Sessions are in Redis, and may be lost with it.
		a.Code = sessionOver
		_ = r.login(ctx, gateway, one) // else the next one tries
	}
	r.History.Add(a)
	return a.Outcome
}

// Resolve sends everything whose end is unknown again under its key until it is known, and returns how many are left.
func (r *Readers) Resolve(ctx context.Context, patience time.Duration) int {
	deadline := time.Now().Add(patience)
	byVoter := map[[2]string]*reader{}
	for _, one := range r.readers {
		byVoter[[2]string{one.ballot, one.voter}] = one
	}
	left := 0
	for i, a := range r.History.Unresolved() {
		for at := i; r.send(ctx, byVoter[[2]string{a.Ballot, a.Voter}], at, a) == checker.Unknown; at++ {
			if time.Now().After(deadline) || ctx.Err() != nil {
				left++
				break
			}
			time.Sleep(refusedPause)
		}
	}
	return left
}

// Told is what every reader is told of what they like, and how many like each item.
func (r *Readers) Told(t scope.Scope) (liked []checker.Liked, counts []checker.Tally) {
	t.Helper()
	for i, one := range r.readers {
		scope.Eventually(t, openPatience, func() error {
			has, likes, err := r.ask(t.Context(), r.gateways[i%len(r.gateways)], one)
			if err != nil {
				return err
			}
			for k, item := range one.items {
				liked = append(liked, checker.Liked{Ballot: one.ballot, Voter: one.voter, Item: item, Liked: has[k]})
				counts = append(counts, checker.Tally{Ballot: one.ballot, Username: item, Votes: likes[k]})
			}
			return nil
		})
	}
	return liked, counts
}

func (r *Readers) ask(ctx context.Context, gateway *voter.Client, one *reader) ([]bool, []int64, error) {
	posts := make([]map[string]any, len(one.items))
	for i, item := range one.items {
		posts[i] = map[string]any{"__typename": "Post", "id": item}
	}
	var data struct {
		HasLiked []bool
		Entities []struct{ LikeCount int64 } `json:"_entities"`
	}
	err := gateway.As(one.token).Do(ctx, `query($i:[ID!]!,$r:[_Any!]!){hasLiked(items:$i) _entities(representations:$r){... on Post{likeCount}}}`,
		map[string]any{"i": one.items, "r": posts}, &data)
	if one.name != "" && voter.Code(err) == "UNAUTHENTICATED" {
		_ = r.login(ctx, gateway, one)
	}
	if err == nil && (len(data.HasLiked) != len(one.items) || len(data.Entities) != len(one.items)) {
		err = fmt.Errorf("%d and %d answers of %d items", len(data.HasLiked), len(data.Entities), len(one.items))
	}
	likes := make([]int64, len(data.Entities))
	for i, e := range data.Entities {
		likes[i] = e.LikeCount
	}
	return data.HasLiked, likes, err
}
