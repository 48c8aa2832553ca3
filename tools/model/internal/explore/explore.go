// Package explore walks through every state of a model, breadth first, so that the first state that breaks a promise is
// reached by a shortest way.
//
// Of a state that was seen only 16 bytes of hash are kept, and 8 bytes that say how it was reached. Two states with the
// same hash would be taken for one; at 10 million states the chance of that is below 10^-24.
package explore

import (
	"hash/maphash"
)

// Kind says what a step is, to tell when a state is at rest.
type Kind uint8

// The kinds.
const (
	Progress Kind = iota // happens sooner or later if nothing prevents it
	Chance               // may happen or not: a fault, a late arrival, a request that nobody has to send
)

// Model is what is explored. S is a value without pointers; L names a step.
type Model[S comparable, L comparable] interface {
	Init() S
	// Next calls emit with every state that may follow.
	Next(s *S, emit func(step L, kind Kind, next S))
	// Check returns what promise the state breaks; empty if none.
	Check(s *S) string
	// Rest is Check for a state in which nothing more happens by itself.
	Rest(s *S) string
}

// Result is what an exploration found.
type Result[S comparable, L comparable] struct {
	States, Depth int
	Rests         int    // states in which nothing more happens by itself
	Complete      bool   // every state was seen
	Broken        string // the promise that some state breaks
	Trace         []L    // the steps to it
	Last          S
}

type node[L comparable] struct {
	parent uint32
	step   L
}

// Run explores at most maxStates states.
func Run[S comparable, L comparable](m Model[S, L], maxStates int) Result[S, L] {
	var (
		one, two = maphash.MakeSeed(), maphash.MakeSeed()
		seen     = map[[2]uint64]struct{}{}
		nodes    []node[L]
		level    []S // the states of one depth; the last ones of nodes
		r        Result[S, L]
	)
	fail := func(what string, at uint32, s S) Result[S, L] {
		r.Broken, r.Last, r.States = what, s, len(nodes)
		for ; at != 0; at = nodes[at].parent {
			r.Trace = append([]L{nodes[at].step}, r.Trace...)
		}
		return r
	}
	add := func(s S, parent uint32, step L) bool {
		key := [2]uint64{maphash.Comparable(one, s), maphash.Comparable(two, s)}
		if _, ok := seen[key]; ok {
			return false
		}
		seen[key] = struct{}{}
		nodes = append(nodes, node[L]{parent, step})
		return true
	}
	var none L
	first := m.Init()
	add(first, 0, none)
	level = append(level, first)
	for begin := uint32(0); len(level) > 0; r.Depth++ {
		var next []S
		end := uint32(len(nodes))
		for i := range level {
			s, at := &level[i], begin+uint32(i)
			if what := m.Check(s); what != "" {
				return fail(what, at, *s)
			}
			moving := false
			m.Next(s, func(step L, kind Kind, n S) {
				if kind == Progress && n != *s {
					moving = true
				}
				if add(n, at, step) {
					next = append(next, n)
				}
			})
			if !moving {
				r.Rests++
				if what := m.Rest(s); what != "" {
					return fail(what, at, *s)
				}
			}
			if len(nodes) >= maxStates {
				r.States = len(nodes)
				return r
			}
		}
		begin, level = end, next
	}
	r.States, r.Complete = len(nodes), true
	return r
}
