package events_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

func validBatch() *eventv1.VoteBatch {
	id, vote := uuid.Must(uuid.NewV7()), uuid.New()
	return &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: 3, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "3.12.1", FirstAdmissionNumber: 17,
		Candidates: []string{"A", "Zoë"},
		Votes: []*eventv1.VoteEvent{{
			VoteId: vote[:], Candidates: []uint32{1, 0, 1}, Deltas: []int64{2, -1, math.MaxInt32},
			BodyHash: bytes.Repeat([]byte{7}, 16), Voter: "Müller",
		}},
	}
}

func TestEncodeAndDecode(t *testing.T) {
	t.Parallel()
	want := validBatch()
	value, err := events.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.Decode(value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func retraction() *eventv1.VoteBatch {
	b := validBatch()
	v, retracted := b.Votes[0], uuid.New()
	b.Format, b.TicketVersion = 2, ""
	v.Candidates, v.Deltas, v.VoterId, v.Retracts = []uint32{0}, []int64{-3}, "user-1", retracted[:]
	return b
}

func change() *eventv1.VoteBatch {
	b := retraction()
	b.Format, b.TicketVersion = 3, "3.12.1"
	b.Votes[0].Candidates, b.Votes[0].Deltas = []uint32{0, 0, 1}, []int64{-3, 1, 2}
	return b
}

// A reader of format 1 alone must not get what it does not understand.
func TestFormatFor(t *testing.T) {
	t.Parallel()
	plain, voter, back, ticketless := validBatch(), validBatch(), retraction(), validBatch()
	voter.Votes[0].VoterId = "user-1"
	ticketless.TicketVersion = ""
	for name, c := range map[string]struct {
		batch *eventv1.VoteBatch
		want  uint32
	}{"claimed voter": {plain, 1}, "authenticated voter": {voter, 2}, "retraction": {back, 2}, "change": {change(), 3}, "without a ticket": {ticketless, 3}} {
		if got := events.FormatFor(c.batch); got != c.want {
			t.Errorf("%s: format %d, want %d", name, got, c.want)
		}
		c.batch.Format = c.want
		if _, err := events.Encode(c.batch); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.batch.Format = c.want - 1
		if _, err := events.Encode(c.batch); err == nil {
			t.Errorf("%s: encoded in format %d", name, c.batch.Format)
		}
	}
}

func TestWhatIsNoRetraction(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(b *eventv1.VoteBatch, v *eventv1.VoteEvent){
		"with a ticket":         func(b *eventv1.VoteBatch, _ *eventv1.VoteEvent) { b.TicketVersion = "3.1.0" },
		"in format 1":           func(b *eventv1.VoteBatch, _ *eventv1.VoteEvent) { b.Format = 1 },
		"with a vote beside it": func(b *eventv1.VoteBatch, _ *eventv1.VoteEvent) { b.Votes = append(b.Votes, validBatch().Votes[0]) },
		"without a voter":       func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) { v.VoterId = "" },
		"of a long voter":       func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) { v.VoterId = strings.Repeat("u", 129) },
		"of a voter with NUL":   func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) { v.VoterId = "u\x00" },
		"of a short id":         func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) { v.Retracts = v.Retracts[:15] },
		"of itself":             func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) { v.Retracts = v.VoteId },
		"that adds":             func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) { v.Deltas[0] = 1 },
		"that gives in format 2": func(_ *eventv1.VoteBatch, v *eventv1.VoteEvent) {
			v.Candidates, v.Deltas = append(v.Candidates, 1), append(v.Deltas, 1)
		},
	} {
		b := retraction()
		spoil(b, b.Votes[0])
		value, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := events.Decode(value); !errors.Is(err, events.ErrNotOurs) {
			t.Errorf("a retraction %s: error is %v", name, err)
		}
	}
	b := retraction()
	if _, err := events.Encode(b); err != nil {
		t.Errorf("a retraction as it should be: %v", err)
	}
}

func TestWhatIsNoChange(t *testing.T) {
	t.Parallel()
	deltas := func(deltas ...int64) func(v *eventv1.VoteEvent) {
		return func(v *eventv1.VoteEvent) { v.Candidates, v.Deltas = make([]uint32, len(deltas)), deltas }
	}
	many := func(n int, delta int64) []int64 {
		list := make([]int64, n)
		for i := range list {
			list[i] = delta
		}
		return list
	}
	for name, spoil := range map[string]func(v *eventv1.VoteEvent){
		"that gives first":          deltas(1, -1),
		"that takes back in turns":  deltas(-1, 1, -1),
		"without a voter":           func(v *eventv1.VoteEvent) { v.VoterId = "" },
		"of itself":                 func(v *eventv1.VoteEvent) { v.Retracts = v.VoteId },
		"that gives 65 choices":     deltas(append(many(1, -1), many(65, 1)...)...),
		"that takes back 65":        deltas(append(many(65, -1), 1)...),
		"of nothing, and two signs": func(v *eventv1.VoteEvent) { v.Retracts = v.Retracts[:3] },
	} {
		b := change()
		spoil(b.Votes[0])
		if _, err := events.Encode(b); err == nil {
			t.Errorf("a change %s is encoded", name)
		}
	}
	b := change()
	deltas(append(many(64, -1), many(64, 1)...)...)(b.Votes[0])
	if _, err := events.Encode(b); err != nil {
		t.Errorf("a change of 64 choices to 64 others: %v", err)
	}
}

// A tenant's ballot has its name in front; no other dot is a name.
func TestFullNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"likes": true, "acme.likes": true, strings.Repeat("t", 32) + "." + strings.Repeat("b", 64): true,
		".likes": false, "acme.": false, "a.b.c": false, strings.Repeat("t", 33) + ".b": false,
	} {
		b := validBatch()
		b.Ballot = name
		if _, err := events.Encode(b); (err == nil) != want {
			t.Errorf("ballot %q: %v", name, err)
		}
	}
}

func TestWhatIsNotABatch(t *testing.T) {
	t.Parallel()
	vote := func(b *eventv1.VoteBatch) *eventv1.VoteEvent { return b.GetVotes()[0] }
	for name, spoil := range map[string]func(b *eventv1.VoteBatch){
		"no format":             func(b *eventv1.VoteBatch) { b.Format = 0 },
		"short batch id":        func(b *eventv1.VoteBatch) { b.BatchId = b.BatchId[:15] },
		"batch id of version 4": func(b *eventv1.VoteBatch) { id := uuid.New(); b.BatchId = id[:] },
		"no epoch":              func(b *eventv1.VoteBatch) { b.Epoch = 0 },
		"no ballot":             func(b *eventv1.VoteBatch) { b.Ballot = "" },
		"ballot in upper case":  func(b *eventv1.VoteBatch) { b.Ballot = "Main" },
		"ballot with newline":   func(b *eventv1.VoteBatch) { b.Ballot = "main\n" },
		"long ballot":           func(b *eventv1.VoteBatch) { b.Ballot = strings.Repeat("a", 65) },
		"no time":               func(b *eventv1.VoteBatch) { b.AdmittedAtMs = 0 },
		"time out of bounds":    func(b *eventv1.VoteBatch) { b.AdmittedAtMs = math.MaxInt64 },
		"no ticket":             func(b *eventv1.VoteBatch) { b.TicketVersion = "" },
		"no admission number":   func(b *eventv1.VoteBatch) { b.FirstAdmissionNumber = 0 },
		"admission overflow":    func(b *eventv1.VoteBatch) { b.FirstAdmissionNumber = math.MaxInt64 - 1 },
		"no votes":              func(b *eventv1.VoteBatch) { b.Votes = nil },
		"too many votes": func(b *eventv1.VoteBatch) {
			for len(b.Votes) <= events.MaxVotes {
				b.Votes = append(b.Votes, vote(b))
			}
		},
		"empty candidate":      func(b *eventv1.VoteBatch) { b.Candidates[0] = "" },
		"candidate with NUL":   func(b *eventv1.VoteBatch) { b.Candidates[0] = "A\x00" },
		"long candidate":       func(b *eventv1.VoteBatch) { b.Candidates[0] = strings.Repeat("A", events.MaxNameBytes+1) },
		"short vote id":        func(b *eventv1.VoteBatch) { vote(b).VoteId = nil },
		"no choices":           func(b *eventv1.VoteBatch) { vote(b).Candidates, vote(b).Deltas = nil, nil },
		"unequal lists":        func(b *eventv1.VoteBatch) { vote(b).Deltas = vote(b).Deltas[1:] },
		"index out of range":   func(b *eventv1.VoteBatch) { vote(b).Candidates[2] = 2 },
		"zero delta":           func(b *eventv1.VoteBatch) { vote(b).Deltas[0] = 0 },
		"huge delta":           func(b *eventv1.VoteBatch) { vote(b).Deltas[0] = math.MaxInt64 },
		"huge negative delta":  func(b *eventv1.VoteBatch) { vote(b).Deltas[0] = math.MinInt64 },
		"short hash":           func(b *eventv1.VoteBatch) { vote(b).BodyHash = []byte{1} },
		"voter with NUL":       func(b *eventv1.VoteBatch) { vote(b).Voter = "\x00" },
		"more than 64 choices": func(b *eventv1.VoteBatch) { vote(b).Candidates, vote(b).Deltas = make([]uint32, 65), make([]int64, 65) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := validBatch()
			spoil(b)
			if _, err := events.Encode(b); err == nil {
				t.Error("Encode takes it")
			}
			value, err := proto.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := events.Decode(value); !errors.Is(err, events.ErrNotOurs) || errors.Is(err, events.ErrUnknownFormat) {
				t.Errorf("Decode says %v, want ErrNotOurs", err)
			}
		})
	}
}

func TestPoison(t *testing.T) {
	t.Parallel()
	good, err := events.Encode(validBatch())
	if err != nil {
		t.Fatal(err)
	}
	later := validBatch()
	later.Format = 99
	later.Votes = nil // a later format may look otherwise
	unknown, err := proto.Marshal(later)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		value []byte
		want  error
	}{
		"tombstone":      {nil, events.ErrNotOurs},
		"garbage":        {[]byte("not protobuf at all"), events.ErrNotOurs},
		"cut off":        {good[:len(good)-3], events.ErrNotOurs},
		"900 KB":         {bytes.Repeat([]byte{0xff}, 900<<10), events.ErrNotOurs},
		"over the limit": {append(bytes.Clone(good), make([]byte, events.MaxRecordBytes)...), events.ErrNotOurs},
		"version 99":     {unknown, events.ErrUnknownFormat},
	} {
		if _, err := events.Decode(c.value); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEncodeRefusesWhatKafkaWould(t *testing.T) {
	t.Parallel()
	b := validBatch()
	for i := range 1000 {
		b.Candidates = append(b.Candidates, strings.Repeat("x", events.MaxNameBytes-4)+string(rune('a'+i%26)))
	}
	if _, err := events.Encode(b); err == nil {
		t.Error("Encode takes a batch that no broker would")
	}
}

// FuzzDecode: whatever Decode takes, Encode makes again, and nothing makes it panic.
func FuzzDecode(f *testing.F) {
	good, err := events.Encode(validBatch())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(nil))
	f.Add([]byte{8, 99})
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, value []byte) {
		b, err := events.Decode(value)
		if err != nil {
			if !errors.Is(err, events.ErrNotOurs) && !errors.Is(err, events.ErrUnknownFormat) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again, err := events.Encode(b)
		if err != nil {
			t.Fatalf("Decode takes what Encode refuses: %v", err)
		}
		same, err := events.Decode(again)
		if err != nil || !proto.Equal(b, same) {
			t.Fatalf("changed on the way: %v", err)
		}
	})
}
