package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/littlevote/littlevote/gateway/graph/exec"
)

func measure(t *testing.T, text string) (sum, error) {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: text})
	if err != nil {
		t.Fatal(err)
	}
	count := &counter{weights: weights(), fragments: doc.Fragments, known: map[string]*sum{}}
	total, problem := count.selections(doc.Operations[0].SelectionSet)
	if problem != nil {
		return total, problem
	}
	return total, nil
}

func TestCost(t *testing.T) {
	for text, want := range map[string]sum{
		"{ a }":                      {direct: 1, depth: 1, complexity: 1},
		"{ a b: c { d e: f } }":      {direct: 2, depth: 2, aliases: 2, complexity: 4},
		"{ a: a }":                   {direct: 1, depth: 1, complexity: 1},
		"{ ... { ... on X { a } } }": {direct: 1, depth: 1, complexity: 1},
		"{ ...F ...F } fragment F on Q { x: a { b } }":                        {direct: 2, depth: 2, aliases: 2, complexity: 4},
		"{ a { ...F } } fragment F on Q { b { ...G } } fragment G on Q { c }": {direct: 1, depth: 3, complexity: 3},
		"{ getAllUserVotes { a b } }":                                         {direct: 1, depth: 2, complexity: 10 + 500*2},
		"{ getTicket { value } ...None }":                                     {direct: 1, depth: 2, complexity: 11},
		"{ ranking { entries { rank } } }":                                    {direct: 1, depth: 3, complexity: 20 + 10*2},
		"{ ranking(first: 1000) { entries { rank } } }":                       {direct: 1, depth: 3, complexity: 20 + 1000*2},
		"{ ranking(first: -1) { entries { rank } } }":                         {direct: 1, depth: 3, complexity: 20 + 2},
		"query($n: Int) { ranking(first: $n) { entries { rank } } }":          {direct: 1, depth: 3, complexity: 20 + 100*2},
		"{ ranking(first: null) { entries { rank } } }":                       {direct: 1, depth: 3, complexity: 20 + 100*2},
		"{ ranking(first: 1e9) { entries { rank } } }":                        {direct: 1, depth: 3, complexity: 20 + 100*2},
		"{ ballots(first: 100) { entries { ranking(first: 1000) { next } } } }": {
			direct: 1, depth: 4, complexity: 100 + 100*(1+20+1000),
		},
	} {
		if got, err := measure(t, text); err != nil || got != want {
			t.Errorf("%s: got %+v %v, want %+v", text, got, err, want)
		}
	}
}

func TestCostNeverOverflows(t *testing.T) {
	var text strings.Builder
	text.WriteString("{ ...F0 }")
	for i := range 200 {
		fmt.Fprintf(&text, " fragment F%d on Q { x: getAllUserVotes { ...F%d ...F%d } }", i, i+1, i+1)
	}
	got, err := measure(t, text.String()+" fragment F200 on Q { a }")
	if err != nil || got.complexity != ceiling || got.aliases != ceiling || got.depth != 201 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestCyclesEnd(t *testing.T) {
	for _, text := range []string{
		"{ ...A } fragment A on Q { ...A }",
		"{ ...A } fragment A on Q { a { ...B } } fragment B on Q { ... { b { ...A } } }",
	} {
		if _, err := measure(t, text); err == nil || !strings.Contains(err.Error(), "within itself") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A new list must be weighed, or documents could ask for more than their complexity says.
func TestEveryListIsWeighed(t *testing.T) {
	known := weights()
	for _, definition := range exec.New(nil).Schema().Types {
		for _, field := range definition.Fields {
			if _, weighed := known[field.Name]; field.Type.Elem != nil && definition.Kind == ast.Object && !weighed {
				t.Errorf("%s.%s is a list without a weight", definition.Name, field.Name)
			}
		}
	}
}
