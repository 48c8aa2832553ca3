package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/collector"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// TestNothingSecretIsTold runs a whole system that logs and traces everything, with secrets and people that are known, through
// votes, refusals, logins, bad input at every door and a Kafka that dies, and then looks for them in all that it has said.
//
// Secret are: keys, passwords, tokens, sessions, values of tickets. Personal are: names and ids of accounts and voters (also
// the hash that stands for a voter in the ledger), addresses of clients, idempotency keys (whoever knows one can ask what became of the vote), and
// whatever callers send that is refused, since nobody knows what that is. Not personal are names of ballots and of services, ids of
// batches, versions of tickets, numbers, and the name that a client gives an operation, which is of its program.
func TestNothingSecretIsTold(t *testing.T) {
	w := newSecretive(t)
	w.votes(t)
	w.accounts(t)
	w.badInput(t)
	w.kafka.Stop()
	w.votes(t) // by way of Postgres, with many complaints
	w.kafka.Start(t)
	w.poison(t)
	w.storesAway(t)
	w.system.AwaitRest(t)
	metrics := w.metrics(t)
	w.system.Stop() // the last spans and lines
	logs := w.logs(t)
	for what, text := range map[string]string{"the logs": logs, "the metrics": metrics, "the spans": w.collector.Received()} {
		for name, secret := range w.secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s tell %s: …%s…", what, name, text[max(0, at-300):min(len(text), at+200)])
			}
		}
	}
	// That it found nothing is worth something only if there was something to find it in.
	for what, found := range map[string]bool{
		"debug lines": strings.Contains(logs, `"level":"DEBUG"`), "lines of dead letters": strings.Contains(logs, "dead letter"),
		"metrics of votes": strings.Contains(metrics, "votes"), "spans of votes": strings.Contains(w.collector.Received(), "decide vote"),
	} {
		if !found {
			t.Errorf("there are no %s", what)
		}
	}
}

// secretive is a system whose secrets are known.
type secretive struct {
	system    *system.System
	kafka     *fixture.Kafka
	collector *collector.Collector
	dir       string
	secrets   map[string]string
}

// marker is what callers send that nobody knows the meaning of.
func marker() string { return "leak" + strings.ToLower(rand.Text()) }

func newSecretive(t *testing.T) *secretive {
	t.Helper()
	w := &secretive{kafka: fixture.OwnKafka(t), collector: collector.Start(t, "127.0.0.1:0"), dir: testenv.Dir(t), secrets: map[string]string{}}
	redisURL := fixture.OwnRedis(t)
	if password := marker(); requirePassword(t, redisURL, password) {
		w.secrets["the password of Redis"] = password
		redisURL = strings.Replace(redisURL, "redis://", "redis://:"+password+"@", 1)
	}
	all := []string{"--log-level=DEBUG", "--trace-endpoint=" + w.collector.URL, "--trace-ratio=1"}
	flags := map[system.Kind][]string{}
	for _, kind := range system.Kinds() {
		flags[kind] = append(flags[kind], all...)
	}
	flags[system.Gateway] = append(flags[system.Gateway], "--gateway-trusted-proxies=127.0.0.0/8")
	w.system = fixture.Start(t, system.Config{Dir: w.dir, Stores: system.Stores{Redis: redisURL, Kafka: w.kafka.Brokers}, Flags: flags})
	at, err := url.Parse(w.system.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	if password, ok := at.User.Password(); ok {
		w.secrets["the password of Postgres"] = password
	}
	for name, file := range map[string]string{"the ticket key": "ticket.keys", "the key of results": "result.key.pem"} {
		text, err := os.ReadFile(filepath.Join(w.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		w.secrets[name] = lines[len(lines)/2] // of a PEM file the line between its frame
	}
	return w
}

// requirePassword says whether this Redis can have one: an embedded one can't.
func requirePassword(t *testing.T, at, password string) bool {
	t.Helper()
	options, err := redis.ParseURL(at)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	return rdb.ConfigSet(t.Context(), "requirepass", password).Err() == nil
}

// votes are cast, refused, changed and taken back, by somebody with a token and by somebody unknown.
func (w *secretive) votes(t *testing.T) {
	t.Helper()
	who := "person" + marker()
	token := w.system.Token(t, who, "")
	keys := []string{voter.NewKey(), voter.NewKey(), voter.NewKey()}
	id := system.VoterOf(who)
	w.keep("a voter's name", who, "a voter's id", id, "a voter's id without its kind", strings.TrimPrefix(id, "jwt:"), "a token", token,
		"a part of a token", strings.Split(token, ".")[1], "a key", keys[0], "another key", keys[1], "a third key", keys[2])
	gateway := w.system.Gateways[0].As(token)
	ticket, err := gateway.GetTicket(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	w.keep("a ticket", ticket.Value)
	testenv.Eventually(t, progressTimeout, func() error {
		answer, err := gateway.TicketAndVote(t.Context(), "main", keys[0], "A")
		if err == nil && !answer.Success {
			err = fmt.Errorf("refused: %s", answer.Code)
		}
		return err
	})
	// What comes of these is others' business.
	_, _ = gateway.ChangeVote(t.Context(), "main", keys[1], keys[0], "B")
	_, _ = gateway.RetractVote(t.Context(), "main", keys[2], keys[0])
	_, _ = gateway.TicketAndVote(t.Context(), "main", keys[0], "C") // the key of another vote
	_, _ = gateway.TicketAndVote(t.Context(), "nosuchballot", voter.NewKey(), "A")
	w.post(t, "/graphql", `{"query":"query($id:ID!){vote(id:$id){status}}","variables":{"id":"`+keys[0]+`"}}`)
}

func (w *secretive) keep(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		w.secrets[fmt.Sprintf("%s (%d)", pairs[i], len(w.secrets))] = pairs[i+1]
	}
}

// accounts are made, logged in to, rightly and wrongly, and like something.
func (w *secretive) accounts(t *testing.T) {
	t.Helper()
	name, password, wrong := "anna"+marker()[:12], "pw"+marker(), "wrong"+marker()
	w.keep("an account", name, "a password", password, "a wrong password", wrong)
	r := &reader{url: w.system.Gateways[0].URL}
	who := map[string]any{"n": name, "p": password}
	r.must(t, `mutation($n: String!, $p: String!) { register(name: $n, password: $p) { id } }`, who)
	login := r.must(t, `mutation($n: String!, $p: String!) { login(name: $n, password: $p) { token user { id } } }`, who)
	session, _ := login["login"].(map[string]any)
	r.token, _ = session["token"].(string)
	user, _ := session["user"].(map[string]any)
	id, _ := user["id"].(string)
	if r.token == "" || id == "" {
		t.Fatalf("login: %v", login)
	}
	w.keep("a session", r.token, "a user's id", id)
	_, _ = r.ask(t.Context(), `mutation($n: String!, $p: String!) { login(name: $n, password: $p) { token } }`, map[string]any{"n": name, "p": wrong})
	_, _ = r.ask(t.Context(), `mutation { like(item: "post:1") { code } }`, nil)
	_, _ = r.ask(t.Context(), `mutation { like(item: "post:1") { code } }`, nil)
}

// post sends a body to a gateway, as somebody whose address a proxy tells.
func (w *secretive) post(t *testing.T, path, body string, headers ...string) {
	t.Helper()
	w.send(t, w.system.Service(system.Gateway, 0).Address, path, body, append(headers, "X-Forwarded-For", "203.0.113.77, 2001:db8::7777")...)
}

func (w *secretive) send(t *testing.T, address, path, body string, headers ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), progressTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// badInput comes to every door, each with something of its own in it.
func (w *secretive) badInput(t *testing.T) {
	t.Helper()
	w.keep("an address", "203.0.113.77", "an address of version 6", "2001:db8::7777")
	bad := func(format string) string {
		m := marker()
		w.keep(format, m)
		return strings.ReplaceAll(format, "MARK", m)
	}
	vote := `{"query":"mutation($n:[String!]!,$t:TicketInput){vote(input:{usernames:$n,ticket:{value:\"MARK\",version:\"MARK\"}}){code}}"}`
	for _, path := range []string{"/graphql", "/cast/graphql", "/tiny/graphql"} {
		for _, body := range []string{
			`{"query":"{getTicket{value`, `{"query":"{MARK}"}`, `{"query":"{getUserVotes(username:\"MARK\"){votes}}"}`, `MARK`, `{"MARK":1}`, vote,
			`{"query":"mutation{ticketAndVote(usernames:[\"A\"],idempotencyKey:\"MARK\"){code}}"}`,
			`{"query":"{getTicket(ballot:\"MARK\"){value}}"}`, `{"query":"query($v:Int){__typename}","variables":{"v":"MARK"}}`,
			`{"query":"{__typename}","extensions":{"persistedQuery":{"version":1,"sha256Hash":"MARK"}}}`,
		} {
			w.post(t, path, bad(body))
		}
	}
	for _, header := range []string{"Authorization", "Cookie", "Littlevote-Tenant", "Traceparent", "Origin", "Accept-Language", "User-Agent", "X-Request-Id"} {
		w.post(t, "/graphql", `{"query":"{getTicket{value}}"}`, header, bad("Bearer MARK"))
	}
	w.post(t, "/graphql", `{"query":"{getTicket{value}}"}`, "Authorization", bad("Bearer lvs_MARK"))
	w.post(t, bad("/graphql?query=MARK"), "")
	w.post(t, bad("/MARK"), "")
	w.post(t, bad("/api/user/login?userId=MARK"), "")
	w.post(t, "/api/thumb/do", bad(`{"blogId":"MARK"}`))
	for kind, methods := range map[system.Kind][]string{
		system.Vote:   {"vote.v1.VoteService/CastVotes", "vote.v1.VoteService/RetractVote", "ballot.v1.BallotService/CreateBallot", "ballot.v1.BallotService/CloseBallot"},
		system.Ticket: {"ticket.v1.TicketService/GetTicket"},
		system.Query:  {"query.v1.QueryService/GetVotes"},
		system.Blog:   {"blog.v1.AccountService/Login", "blog.v1.AccountService/Register", "blog.v1.AccountService/GetSession"},
	} {
		for _, method := range methods {
			for _, body := range []string{
				`MARK`, `{"MARK":1}`, `{"ballot":"MARK","voter":"MARK","voteId":"MARK","idempotencyKey":"MARK"}`, `{"name":"MARK","password":"MARK","address":"MARK"}`,
				`{"votes":[{"ballot":"main","voter":"MARK","choices":[{"candidate":"MARK","count":1}],"ticketValue":"MARK","idempotencyKey":"MARK"}]}`,
				`{"votes":[{"ballot":"main","voter":"MARK","choices":[{"candidate":"MARK","count":1}],"newestTicket":true}]}`, `{"token":"MARK"}`,
			} {
				w.send(t, w.system.Service(kind, 0).Address, "/littlevote."+method, bad(body))
			}
		}
	}
}

// poison is records that nobody can read.
func (w *secretive) poison(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m := marker()
	w.keep("a record", m)
	record := &kgo.Record{
		Topic: w.system.Topics.Votes, Key: []byte(m), Value: []byte(m),
		Headers: []kgo.RecordHeader{{Key: m, Value: []byte(m)}, {Key: "traceparent", Value: []byte(m)}},
	}
	if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// storesAway is services whose stores are not where their settings say, with a password in them.
func (w *secretive) storesAway(t *testing.T) {
	t.Helper()
	password := marker()
	w.keep("the password of a store that is away", password)
	for _, kind := range []system.Kind{system.Vote, system.Query, system.Persister, system.Blog} {
		p := process.Start(t, process.Command{
			Name: string(kind) + "-alone", Program: filepath.Join(fixture.Programs(t), string(kind)), Dir: w.dir,
			Args: []string{"--log-level=DEBUG", "--admin-listen=127.0.0.1:0"},
			Env: []string{
				"LITTLEVOTE_POSTGRES_URL=postgres://somebody:" + password + "@127.0.0.1:1/nowhere?sslmode=disable",
				"LITTLEVOTE_REDIS_URL=redis://somebody:" + password + "@127.0.0.1:1/0", "LITTLEVOTE_KAFKA_BROKERS=127.0.0.1:1",
				"LITTLEVOTE_DEV=true", "LITTLEVOTE_VOTE_LISTEN=127.0.0.1:0", "LITTLEVOTE_QUERY_LISTEN=127.0.0.1:0",
				"LITTLEVOTE_PERSISTER_LISTEN=127.0.0.1:0", "LITTLEVOTE_BLOG_LISTEN=127.0.0.1:0",
			},
		})
		testenv.Eventually(t, progressTimeout, func() error {
			if !strings.Contains(p.Stderr(), "127.0.0.1:1") {
				return fmt.Errorf("%s has not complained yet:\n%s", p.Name, p.Stderr())
			}
			return nil
		})
		p.Kill() // it may have ended by itself, which is no matter here
	}
}

// metrics is what all admin ports show.
func (w *secretive) metrics(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, s := range w.system.All() {
		for _, path := range []string{"/metrics", "/readyz"} {
			response, err := http.Get("http://" + s.Admin + path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(&all, io.LimitReader(response.Body, 64<<20))
			_ = response.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return all.String()
}

// logs is what all processes have written.
func (w *secretive) logs(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*.out-*", "*.log-*"} {
		files, err := filepath.Glob(filepath.Join(w.dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files %s: %v", len(files), pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}
