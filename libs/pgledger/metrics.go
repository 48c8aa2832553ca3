package pgledger

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/measure"
)

// Measure publishes how long the statements of a pool that Open or OpenReplica made take and its connections, under a name that no
// other pool of the process has.
func Measure(pool *pgxpool.Pool, meter metric.Meter, name string) error {
	calls, err := measure.NewCalls(meter, measure.Postgres)
	if err != nil {
		return err
	}
	if all, ok := pool.Config().ConnConfig.Tracer.(*multitracer.Tracer); ok {
		for _, one := range all.QueryTracers {
			if t, ok := one.(*timing); ok {
				t.calls.Store(calls)
			}
		}
	}
	return measure.Pool(meter, name, func() measure.Connections {
		now := pool.Stat()
		return measure.Connections{Idle: int64(now.IdleConns()), Used: int64(now.AcquiredConns()), Max: int64(now.MaxConns())}
	})
}

// timing measures statements as pgx's tracer, from when Measure has told it where to.
type timing struct{ calls atomic.Pointer[measure.Calls] }

// begun is what the end of a statement needs to know of its beginning.
type begun struct {
	operation string
	at        time.Time
}

type begunKey struct{}

func (t *timing) begin(ctx context.Context, operation string) context.Context {
	if t.calls.Load() == nil {
		return ctx
	}
	return context.WithValue(ctx, begunKey{}, begun{operation, time.Now()})
}

func (t *timing) end(ctx context.Context, err error) {
	if b, ok := ctx.Value(begunKey{}).(begun); ok {
		t.calls.Load().Record(ctx, b.operation, failure(err), time.Since(b.at))
	}
}

// TraceQueryStart is part of pgx.QueryTracer.
func (t *timing) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return t.begin(ctx, operation(data.SQL))
}

// TraceQueryEnd is part of pgx.QueryTracer.
func (t *timing) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	t.end(ctx, data.Err)
}

// TraceBatchStart is part of pgx.BatchTracer.
func (t *timing) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return t.begin(ctx, "batch")
}

// TraceBatchQuery is part of pgx.BatchTracer.
func (*timing) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is part of pgx.BatchTracer.
func (t *timing) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	t.end(ctx, data.Err)
}

// TraceCopyFromStart is part of pgx.CopyFromTracer.
func (t *timing) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return t.begin(ctx, "copy")
}

// TraceCopyFromEnd is part of pgx.CopyFromTracer.
func (t *timing) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromEndData) {
	t.end(ctx, data.Err)
}

// operation is the first word of a statement, of those that we send.
func operation(sql string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(sql, " \t\r\n("), " ")
	switch word = strings.ToLower(strings.TrimRight(word, ";\n\t")); word {
	case "select", "with", "insert", "update", "delete", "begin", "commit", "rollback", "lock", "set", "create", "alter", "drop":
		return word
	default:
		return "other"
	}
}

// failure is the kind of an error; one that Postgres found has Postgres's code for it.
func failure(err error) string {
	var answered *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &answered):
		return answered.Code
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return "timeout"
	default:
		return "other"
	}
}
