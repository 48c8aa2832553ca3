package reading

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// While pages are read, a candidate whose count stands still is on exactly one of them, whatever others do.
func TestPagesNeitherRepeatNorSkipWhatStandsStill(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var list []redisledger.Count
		for i := range 1 + random.IntN(60) {
			list = append(list, redisledger.Count{Name: fmt.Sprintf("%c%d", rune('a'+random.IntN(26)), i), Votes: random.Int64N(5)})
		}
		moves := map[string]bool{}
		pages := map[string]int{}
		var after *rankCursor
		for {
			ranks, next := newRanking(list).page(after, 1+random.IntN(7))
			for _, r := range ranks {
				pages[r.GetCount().GetCandidate()]++
				ahead := slices.IndexFunc(newRanking(list).list, func(c redisledger.Count) bool { return c.Votes == r.GetCount().GetVotes() })
				if r.GetRank() != int64(ahead)+1 {
					t.Fatalf("seed %d: %v has rank %d, want %d", seed, r.GetCount(), r.GetRank(), ahead+1)
				}
			}
			if next == "" {
				break
			}
			var ok bool
			if after, ok = parseRankCursor(next); !ok {
				t.Fatalf("seed %d: %q is no cursor", seed, next)
			}
			for range random.IntN(4) { // meanwhile votes come in, and new names
				if random.IntN(3) == 0 {
					name := fmt.Sprintf("%c-new-%d", rune('a'+random.IntN(26)), len(list))
					list, moves[name] = append(list, redisledger.Count{Name: name, Votes: 1}), true
				}
				i := random.IntN(len(list))
				list[i].Votes++
				moves[list[i].Name] = true
			}
		}
		for _, c := range list {
			if n := pages[c.Name]; !moves[c.Name] && n != 1 {
				t.Errorf("seed %d: %s is on %d pages", seed, c.Name, n)
			}
		}
	}
}

// Whatever comes in, only what String can have written is a cursor.
func FuzzRankCursor(f *testing.F) {
	for _, c := range []rankCursor{{}, {5, "A"}, {-1, "票"}, {1 << 62, "a\x00b"}} {
		f.Add(c.String())
	}
	for _, text := range []string{"", "AA==", "gICAgICAgICAAQ", "\x00", "?"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseRankCursor(text)
		if ok && c != nil && c.String() != text {
			t.Errorf("%q is taken for %+v", text, c)
		}
	})
}
