package blogservice_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/testenv"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func (w *world) check(i *instance, token string) (*blogv1.CheckSessionResponse, error) {
	return i.CheckSession(w.t.Context(), &blogv1.CheckSessionRequest{Token: token})
}

// sessionKey is where a token's session stands.
func sessionKey(token string) string {
	sum := sha256.Sum256([]byte(strings.TrimPrefix(token, "lvs_")))
	return "blog:session:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestS59UsersRegisterAndLogIn(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	alice := w.register(i, "Alice.Ä")
	login := w.login(i, "aLICE.ä") // in whatever case
	if !proto.Equal(login.GetUser(), alice) || len(login.GetToken()) != 47 || !strings.HasPrefix(login.GetToken(), "lvs_") {
		t.Fatalf("registered %v, logged in %v", alice, login)
	}
	_, err := i.Register(t.Context(), &blogv1.RegisterRequest{Tenant: w.tenant, Name: "ALICE.A\u0308", Password: password})
	wants(t, "the same name, written otherwise", err, statusv1.Code_CODE_ALREADY_EXISTS)
	var hash string
	if err := w.pool.QueryRow(t.Context(), "SELECT password_hash FROM blog_users WHERE tenant = $1", w.tenant).Scan(&hash); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("kept as %q", hash)
	}
	got, err := i.GetUsers(t.Context(), &blogv1.GetUsersRequest{
		Tenant: w.tenant, Ids: []string{"0000000000000001", alice.GetId(), "user:" + alice.GetId(), "'; DROP TABLE blog_users", ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []*blogv1.User{nil, alice, alice, nil, nil} {
		if r := got.GetResults()[n]; !proto.Equal(r.GetUser(), want) || r.GetStale() {
			t.Errorf("user %d is %v, want %v", n, r, want)
		}
	}
}

func TestNamesAndPasswordsThatAreRefused(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	for _, name := range []string{
		"", "ab", strings.Repeat("a", 33), "_abc", "-abc", ".abc", "a b", "a\tb", "a\x00b", "a\u202eb", "a\u200bb", "<b>abc", "a/b/c", "\u0301abc",
		strings.Repeat("ä", 1000),
	} {
		_, err := i.Register(t.Context(), &blogv1.RegisterRequest{Tenant: w.tenant, Name: name, Password: password})
		wants(t, fmt.Sprintf("name %q", name), err, statusv1.Code_CODE_INVALID_ARGUMENT)
	}
	for _, word := range []string{"", "1234567", strings.Repeat("a", 129), "12345678\x00", "1234\n5678", strings.Repeat("a", 100_000)} {
		_, err := i.Register(t.Context(), &blogv1.RegisterRequest{Tenant: w.tenant, Name: "carol", Password: word})
		wants(t, fmt.Sprintf("password %.20q", word), err, statusv1.Code_CODE_INVALID_ARGUMENT)
		if word != "" && strings.Contains(err.Error(), word) {
			t.Errorf("the refusal repeats the password: %v", err)
		}
	}
	for _, tenant := range []string{"Acme", "a.b", strings.Repeat("a", 33), "a:b", "a b", "é"} {
		_, err := i.Register(t.Context(), &blogv1.RegisterRequest{Tenant: tenant, Name: "carol", Password: password})
		wants(t, "tenant "+tenant, err, statusv1.Code_CODE_INVALID_ARGUMENT)
	}
	_, err := i.Login(t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: "carol", Password: password, Address: "next door"})
	wants(t, "address", err, statusv1.Code_CODE_INVALID_ARGUMENT)
}

// Whoever fails to log in learns nothing by the answer, nor by the work it took.
func TestNobodysNameLooksLikeAWrongPassword(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	w.register(i, "alice")
	hashes := func() float64 { return i.metrics(t)["littlevote_blog_hash_duration_seconds{}"] }
	var first string
	for _, req := range []*blogv1.LoginRequest{
		{Name: "alice", Password: "not the password"},
		{Name: "nobody", Password: "not the password"},
		{Name: "no name at all", Password: "not the password"},
		{Name: "alice", Password: "short"},
		{Name: "", Password: ""},
	} {
		req.Tenant = w.tenant
		before := hashes()
		_, err := i.Login(t.Context(), req)
		wants(t, req.String(), err, statusv1.Code_CODE_UNAUTHENTICATED)
		if first == "" {
			first = text(err)
		}
		if text(err) != first || hashes() != before+1 {
			t.Errorf("%v: %q after %v hashes, a wrong password has %q after one", req, text(err), hashes()-before, first)
		}
	}
}

func TestS60ASessionLastsThirtyMinutesFromItsLastUse(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	one, other := w.start(), w.start()
	alice := w.register(one, "alice")
	login := w.login(one, "alice")
	key := sessionKey(login.GetToken())
	left := func() time.Duration {
		ttl, err := w.rdb.PTTL(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		return ttl
	}
	inReach := func(d time.Duration) bool { return d > 29*time.Minute && d <= 30*time.Minute+30*time.Second }
	if !inReach(left()) || !inReach(time.Until(login.GetExpiresAt().AsTime())) {
		t.Fatalf("after the login Redis keeps it for %v, and the answer says until %v", left(), login.GetExpiresAt().AsTime())
	}
	// Any instance knows it, and its use gives it 30 minutes again.
	if err := w.rdb.PExpire(t.Context(), key, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	who, err := w.check(other, login.GetToken())
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(who.GetUser(), alice) || who.GetTenant() != w.tenant || !inReach(left()) || !inReach(time.Until(who.GetExpiresAt().AsTime())) {
		t.Fatalf("after its use Redis keeps it for %v: %v", left(), who)
	}
	// Unused for that long, it has ended.
	if err := w.rdb.PExpire(t.Context(), key, time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 5*time.Second, func() error {
		if n := w.rdb.Exists(t.Context(), key).Val(); n != 0 {
			return fmt.Errorf("it is still there")
		}
		return nil
	})
	_, err = w.check(one, login.GetToken())
	wants(t, "an ended session", err, statusv1.Code_CODE_UNAUTHENTICATED)
}

// However much it is used, a session ends with its lifetime.
func TestS60ASessionEndsWithItsLifetime(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	w.cfg.Blog.Sessions.Idle, w.cfg.Blog.Sessions.Lifetime = time.Second, time.Second
	i := w.start()
	w.register(i, "alice")
	login := w.login(i, "alice")
	testenv.Eventually(t, 10*time.Second, func() error {
		if _, err := w.check(i, login.GetToken()); err == nil {
			return errors.New("it goes on")
		}
		return nil
	})
	if time.Now().Before(login.GetEndsAt().AsTime().Add(-100 * time.Millisecond)) {
		t.Errorf("it ended before %v", login.GetEndsAt().AsTime())
	}
}

func TestS60LogoutEndsASessionEverywhereAndIsIdempotent(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	one, other := w.start(), w.start()
	w.register(one, "alice")
	ended, stays := w.login(one, "alice"), w.login(one, "alice")
	for _, token := range []string{ended.GetToken(), ended.GetToken(), "lvs_" + strings.Repeat("A", 43), "", "lvs_", "nonsense"} {
		if _, err := other.Logout(t.Context(), &blogv1.LogoutRequest{Token: token}); err != nil {
			t.Errorf("logout of %q: %v", token, err)
		}
		_, err := w.check(one, token)
		wants(t, "check "+token, err, statusv1.Code_CODE_UNAUTHENTICATED)
	}
	if _, err := w.check(one, stays.GetToken()); err != nil {
		t.Errorf("the other session has gone as well: %v", err)
	}
}

// What is in Redis is of no use to who reads it: neither the token nor the password stands there.
func TestS60TokensAreHashedAtRest(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	w.register(i, "alice")
	login := w.login(i, "alice")
	data, err := w.rdb.Get(t.Context(), sessionKey(login.GetToken())).Result()
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.TrimPrefix(login.GetToken(), "lvs_")
	if strings.Contains(data, bare) || strings.Contains(data, password) || strings.Contains(sessionKey(bare), bare) {
		t.Errorf("a secret stands in %q", data)
	}
}

func TestS84ALoginSurvivesTheRestartOfEveryInstance(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	first := w.start()
	alice := w.register(first, "alice")
	token := w.login(first, "alice").GetToken()
	first.stop()
	again := w.start()
	who, err := w.check(again, token)
	if err != nil || !proto.Equal(who.GetUser(), alice) {
		t.Fatalf("%v, %v", who, err)
	}
}

// A use of a session that is on its way while somebody logs out must not bring the session back.
func TestAUseDoesNotReviveASession(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	w.cfg.Blog.Limits.LoginsPerAccount = 1000
	i := w.start()
	w.register(i, "alice")
	for range 10 {
		token := w.login(i, "alice").GetToken()
		if err := w.rdb.PExpire(t.Context(), sessionKey(token), time.Minute).Err(); err != nil { // so that each use writes
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = w.check(i, token) })
		}
		if _, err := i.Logout(t.Context(), &blogv1.LogoutRequest{Token: token}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		_, err := w.check(i, token)
		wants(t, "after the logout", err, statusv1.Code_CODE_UNAUTHENTICATED)
	}
}

func TestTenantsDoNotShareUsers(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	alice := w.register(i, "alice")
	v := *w
	v.tenant = testenv.Namespace(t)
	_, err := i.Login(t.Context(), &blogv1.LoginRequest{Tenant: v.tenant, Name: "alice", Password: password})
	wants(t, "another tenant's user", err, statusv1.Code_CODE_UNAUTHENTICATED)
	other := v.register(i, "alice")
	if other.GetId() == alice.GetId() {
		t.Error("two users have one id")
	}
	for range 2 { // from Postgres, and from Redis
		got, err := i.GetUsers(t.Context(), &blogv1.GetUsersRequest{Tenant: v.tenant, Ids: []string{alice.GetId(), other.GetId()}})
		if err != nil || got.GetResults()[0].GetUser() != nil || !proto.Equal(got.GetResults()[1].GetUser(), other) {
			t.Fatalf("%v, %v", got, err)
		}
	}
}

// What a gateway in development may ask for keeps to the tenant, too.
func TestALoginByIdKeepsToItsTenant(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	alice := w.register(i, "alice")
	login, err := i.LoginByID(t.Context(), &blogv1.LoginByIDRequest{Tenant: w.tenant, Id: alice.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := w.check(i, login.GetToken()); err != nil || !proto.Equal(who.GetUser(), alice) || who.GetTenant() != w.tenant {
		t.Errorf("%v, %v", who, err)
	}
	for _, req := range []*blogv1.LoginByIDRequest{
		{Tenant: testenv.Namespace(t), Id: alice.GetId()}, {Tenant: w.tenant, Id: "0000000000000001"}, {Tenant: w.tenant, Id: "x"},
	} {
		_, err := i.LoginByID(t.Context(), req)
		wants(t, req.String(), err, statusv1.Code_CODE_NOT_FOUND)
	}
}

func TestS67LoginsAreLimitedPerAccountAndAddress(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	w.cfg.Blog.Limits.LoginsPerAccount, w.cfg.Blog.Limits.LoginsPerAddress = 3, 5
	w.cfg.Blog.Limits.RegistersPerAddress = 2
	one, other := w.start(), w.start()
	w.register(one, "alice")
	login := func(i *instance, name, address string) error {
		_, err := i.Login(t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: name, Password: "not the password", Address: address})
		return err
	}
	prefix := "2001:db8:" + newKey()[32:] + ":" + newKey()[32:]
	for n := range 3 {
		wants(t, fmt.Sprint("attempt ", n), login([]*instance{one, other}[n%2], "alice", ""), statusv1.Code_CODE_UNAUTHENTICATED)
	}
	// The right password comes too late, through whichever instance.
	for _, i := range []*instance{one, other} {
		_, err := i.Login(t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: "ALICE", Password: password})
		if d := wants(t, "the name's limit", err, statusv1.Code_CODE_RATE_LIMITED); d.GetRetryAfter().AsDuration() <= 0 || !d.GetRetryable() {
			t.Errorf("it says %v", d)
		}
	}
	// One address, many names: addresses of a /64 are one.
	for n := range 5 {
		wants(t, fmt.Sprint("name ", n), login(one, fmt.Sprint("nobody", n), fmt.Sprintf("%s::%d", prefix, n+1)), statusv1.Code_CODE_UNAUTHENTICATED)
	}
	wants(t, "the address's limit", login(other, "nobody9", prefix+"::9"), statusv1.Code_CODE_RATE_LIMITED)
	for n := range 3 {
		_, err := one.Register(t.Context(), &blogv1.RegisterRequest{Tenant: w.tenant, Name: fmt.Sprint("carol", n), Password: password, Address: prefix + "::1"})
		if n == 2 {
			wants(t, "registrations from one address", err, statusv1.Code_CODE_RATE_LIMITED)
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A flood of logins is refused, at once, and takes no more than its worker.
func TestAFloodOfLoginsIsRefused(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	w.cfg.Blog.Hash.Workers, w.cfg.Blog.Hash.Queue = 1, 2
	i := w.start()
	var mu sync.Mutex
	got := map[statusv1.Code]int{}
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			_, err := i.Login(t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: fmt.Sprint("nobody", n), Password: password})
			detail := &statusv1.ErrorDetail{}
			var e *connect.Error
			if errors.As(err, &e) && len(e.Details()) == 1 {
				if value, err := e.Details()[0].Value(); err == nil {
					detail = value.(*statusv1.ErrorDetail)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			got[detail.GetCode()]++
		})
	}
	wg.Wait()
	if got[statusv1.Code_CODE_OVERLOADED] == 0 || got[statusv1.Code_CODE_UNAUTHENTICATED] < 3 ||
		got[statusv1.Code_CODE_OVERLOADED]+got[statusv1.Code_CODE_UNAUTHENTICATED] != 40 {
		t.Errorf("%v", got)
	}
	if i.metrics(t)["littlevote_blog_account_calls_total{call=login,outcome=overloaded}"] == 0 {
		t.Error("no metric tells of the refusals")
	}
}

// A login that nobody waits for any more is not hashed.
func TestALoginWithoutACallerIsGivenUp(t *testing.T) {
	w := newWorld(t, testenv.Redis(t))
	i := w.start()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.Login(ctx, &blogv1.LoginRequest{Tenant: w.tenant, Name: "alice", Password: password}); err == nil {
		t.Error("it was answered")
	}
}
