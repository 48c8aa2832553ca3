package scope_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

var _ scope.Scope = testing.TB(nil)

func TestARunCleansUpLastFirstWhateverHappens(t *testing.T) {
	var order []string
	problems := scope.Start(t.Context(), io.Discard, func(r *scope.Run) {
		r.Cleanup(func() { order = append(order, "first") })
		r.Cleanup(func() {
			if r.Context().Err() == nil {
				r.Errorf("the context goes on while things end")
			}
			order = append(order, "second")
			r.Fatal("cannot end")
		})
		r.Cleanup(func() { panic("third") })
		r.Errorf("one %s", "thing")
		r.Fatalf("another")
		order = append(order, "after the end")
	})
	if diff := cmp.Diff([]string{"second", "first"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for i := range problems {
		problems[i], _, _ = strings.Cut(problems[i], "\n")
	}
	if diff := cmp.Diff([]string{"one thing", "another", "panic: third", "cannot end"}, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestEventuallySaysWhatWasWrongAtLast(t *testing.T) {
	tries := 0
	problems := scope.Start(t.Context(), io.Discard, func(r *scope.Run) {
		scope.Eventually(r, time.Minute, func() error {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		scope.Eventually(r, time.Millisecond, func() error { return errors.New("never") })
	})
	if diff := cmp.Diff([]string{"still so after 1ms: never"}, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
