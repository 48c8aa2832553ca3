package rows

import (
	"io"
	"testing"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

func TestMemoryThatGrowsIsSeen(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name string
		at   func(i int) int64
		want int
	}{
		{"flat", func(i int) int64 { return 60*mib + int64(i%10)*mib }, 0},
		{"grows at first", func(i int) int64 { return 20*mib + min(int64(i), 100)*mib }, 0},
		{"grows for ever", func(i int) int64 { return 20*mib + int64(i)*mib }, 1},
		{"a little, of little", func(i int) int64 { return 5*mib + int64(i)*mib/100 }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &memory{samples: map[string][]sample{"short": make([]sample, 10)}}
			for i := range 300 {
				m.samples["one"] = append(m.samples["one"], sample{bytes: test.at(i)})
			}
			problems := scope.Start(t.Context(), io.Discard, func(s *scope.Run) { m.judge(&Run{Scope: s}) })
			if len(problems) != test.want {
				t.Errorf("%v", problems)
			}
		})
	}
}
