package redisledger_test

import (
	"context"
	"testing"
)

// contextOf is for cleanups, which run when the test's own context has ended.
func contextOf(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }
