package engine

import (
	"context"
	"net/http"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.opentelemetry.io/otel/trace"
)

// Subscription reports whether the operation's answers are a stream.
func (o Operation) Subscription() bool { return o.definition.Operation == ast.Subscription }

// ending is why a subscription ends, where its resolver has said so.
type ending struct {
	mu  sync.Mutex
	why error
}

type endingKey struct{}

// End says why the subscription ends whose resolver was given ctx. It is called before its channel is closed.
func End(ctx context.Context, why error) {
	if end, ok := ctx.Value(endingKey{}).(*ending); ok {
		end.mu.Lock()
		defer end.mu.Unlock()
		end.why = graphql.ErrorOnPath(ctx, why)
	}
}

// Stream is the answers of a subscription, for one reader.
type Stream struct {
	engine *Engine
	ctx    context.Context //nolint:containedctx // the subscription's own: it ends with it
	end    *ending
	next   graphql.ResponseHandler
	span   trace.Span // until the first answer: what follows may last for hours
}

// Subscribe begins a subscription, which lasts until ctx ends or the stream does. The errors say that there is none.
func (e *Engine) Subscribe(ctx context.Context, operation Operation, header http.Header) (*Stream, gqlerror.List) {
	end := &ending{}
	ctx, span := operation.startSpan(ctx)
	ctx = context.WithValue(graphql.WithOperationContext(ctx, e.contextOf(operation, header)), endingKey{}, end)
	s := &Stream{engine: e, ctx: ctx, end: end, span: span}
	begun := e.withErrors(ctx)
	s.guarded(begun, func() { s.next = e.schema.Exec(begun) })
	if errs := graphql.GetErrors(begun); len(errs) > 0 {
		endSpan(span, errs)
		return nil, errs
	}
	return s, nil
}

// Next waits for the next answer, and returns nil after the last one. An answer is valid until Next is called again.
func (s *Stream) Next() *graphql.Response {
	var response *graphql.Response
	ctx := s.engine.withErrors(s.ctx)
	s.guarded(ctx, func() { response = s.next(ctx) })
	errs := graphql.GetErrors(ctx)
	if response == nil && len(errs) > 0 { // the executor itself has failed
		response = &graphql.Response{}
	}
	if response != nil {
		response.Errors = append(response.Errors, errs...)
	}
	if s.span.IsRecording() {
		if response == nil {
			errs = s.Err()
		}
		endSpan(s.span, errs)
	}
	return response
}

// Err is why the stream has ended; nil where it was its reader's wish, or nothing more can come.
func (s *Stream) Err() gqlerror.List {
	s.end.mu.Lock()
	defer s.end.mu.Unlock()
	if s.end.why == nil || s.ctx.Err() != nil {
		return nil
	}
	return gqlerror.List{s.engine.running.present(s.ctx, s.end.why)}
}

// guarded makes an error of a panic.
func (s *Stream) guarded(ctx context.Context, run func()) {
	defer func() {
		if cause := recover(); cause != nil {
			graphql.AddError(ctx, s.engine.running.recover(ctx, cause))
		}
	}()
	run()
}

func (e *Engine) withErrors(ctx context.Context) context.Context {
	return graphql.WithResponseContext(ctx, e.running.present, e.running.recover)
}
