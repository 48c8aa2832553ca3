package voter

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/verify"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

const patience = 10 * time.Second

// station admits so many votes a ticket and then makes the next ticket.
type station struct {
	perTicket int

	mu      sync.Mutex
	version int
	used    int
	counts  verify.Counts
	early   int // answers to getTicket that still give the old ticket after a refusal
	looks   int
}

func (s *station) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var request struct {
		Variables struct {
			Input struct {
				Usernames []string
				Ticket    operation.Ticket
			}
		}
	}
	_ = json.Unmarshal(body, &request)
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(string(body), "query getTicket") {
		s.ticket(w)
		return
	}
	s.vote(w, request.Variables.Input.Ticket, request.Variables.Input.Usernames)
}

func (s *station) ticket(w io.Writer) {
	version := s.version
	if s.looks < s.early {
		s.looks++
		version = max(version-1, 0)
	}
	fmt.Fprintf(w, `{"data":{"getTicket":{"value":"v%d","version":"%d","remainingUsages":5,"expiresAt":"%s","createdAt":"x"}}}`,
		version, version, time.Now().Add(time.Hour).Format(time.RFC3339Nano))
}

func (s *station) vote(w io.Writer, ticket operation.Ticket, names []string) {
	if ticket.Version != fmt.Sprint(s.version) || ticket.Value != fmt.Sprintf("v%d", s.version) {
		_, _ = io.WriteString(w, `{"data":{"vote":{"success":false,"code":"TICKET_SUPERSEDED","outcome":"NONE"}}}`)
		return
	}
	for _, name := range names {
		s.counts[name]++
	}
	_, _ = io.WriteString(w, `{"data":{"vote":{"success":true,"code":"OK","outcome":"COUNTED"}}}`)
	if s.used++; s.used == s.perTicket {
		s.version, s.used, s.looks = s.version+1, 0, 0
	}
}

func open(t *testing.T, handler http.Handler) wire.Target {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	target, err := wire.ParseTarget(t.Context(), server.URL+"/graphql")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestVotersFollowTheTicketAndKeepTheAccount(t *testing.T) {
	for _, early := range []int{0, 2} {
		const tickets, connections, names = 10, 4, 2
		s := &station{perTicket: 50, counts: verify.Counts{}, early: early}
		target := open(t, s)
		permit, err := NewPermit(t.Context(), target, names, patience)
		if err != nil {
			t.Fatal(err)
		}
		account := verify.NewAccount(names)
		crowd := Crowd{Target: target, Operation: operation.Vote, Names: names, Timeout: patience, Permit: permit, Account: account}
		var refused int
		for _, voter := range crowd.Gather(connections) {
			// One after the other, so that each rotation costs exactly one refusal.
			for range tickets * 50 / connections {
				for {
					if err := voter.Ready(t.Context()); err != nil {
						t.Fatal(err)
					}
					answer := voter.Do(t.Context())
					if answer.Kind == operation.Success {
						break
					}
					if answer.Code != "TICKET_SUPERSEDED" {
						t.Fatalf("answer %+v", answer)
					}
					refused++
				}
			}
			voter.Close()
		}
		permit.Close()
		if err := account.Check(nil, s.counts); err != nil {
			t.Errorf("early %d: %v", early, err)
		}
		if account.Acknowledged() != tickets*50*names {
			t.Errorf("early %d: %d acknowledged, want %d", early, account.Acknowledged(), tickets*50*names)
		}
		if refused != tickets-1 {
			t.Errorf("early %d: %d refusals, want one for each of %d rotations", early, refused, tickets-1)
		}
	}
}

func TestThePermitFetchesWhenTheTicketExpires(t *testing.T) {
	var mu sync.Mutex
	version := 0
	target := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		version++
		fmt.Fprintf(w, `{"data":{"getTicket":{"value":"v","version":"%d","remainingUsages":5,"expiresAt":"%s","createdAt":"x"}}}`,
			version, time.Now().Add(5*time.Millisecond).Format(time.RFC3339Nano))
	}))
	permit, err := NewPermit(t.Context(), target, 1, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer permit.Close()
	for range 5 {
		select {
		case <-permit.current.Load().replaced:
		case <-time.After(patience):
			t.Fatal("no newer ticket, though nobody was refused and the last one expired")
		}
	}
}

func TestNoTicketIsAnError(t *testing.T) {
	target := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errors":[{"message":"m","extensions":{"code":"TICKET_EXHAUSTED"}}],"data":null}`)
	}))
	if _, err := NewPermit(t.Context(), target, 1, 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "TICKET_EXHAUSTED") {
		t.Errorf("error %v, want one that names the code", err)
	}
}

func TestOtherOperationsNeedNoPermit(t *testing.T) {
	asked := map[string]int{}
	target := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked[string(body)]++
		_, _ = io.WriteString(w, `{"data":{"getUserVotes":{"username":"A","votes":7,"updatedAt":"t"}}}`)
	}))
	crowd := Crowd{Target: target, Operation: operation.GetUserVotes, Names: 1, Timeout: patience}
	for _, voter := range crowd.Gather(2) {
		for range 26 {
			if answer := voter.Do(t.Context()); answer.Kind != operation.Success {
				t.Fatalf("answer %+v", answer)
			}
		}
		voter.Close()
	}
	if len(asked) != 26 {
		t.Errorf("%d different requests, want one for each candidate", len(asked))
	}
	for body, n := range asked {
		if n != 2 {
			t.Errorf("%s asked %d times, want 2", body, n)
		}
	}
}
