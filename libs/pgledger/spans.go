package pgledger

import (
	"bytes"
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/tracing"
)

// statements makes a span of each statement, as pgx's tracer, where the caller's span is recording. The text of a statement is in
// it, the arguments are not: the texts are ours and have no values.
type statements struct{}

// maxText bounds the text of a statement in a span.
const maxText = 1000

// TraceQueryStart is part of pgx.QueryTracer.
func (statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	ctx, span := tracing.StartKind(ctx, trace.SpanKindClient, "statement")
	describe(span, data.SQL)
	return ctx
}

// TraceQueryEnd is part of pgx.QueryTracer.
func (statements) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	endStatement(ctx, data.Err)
}

// TraceBatchStart is part of pgx.BatchTracer. A batch is one round trip, and one span.
func (statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	ctx, span := tracing.StartKind(ctx, trace.SpanKindClient, "statements")
	if !span.IsRecording() {
		return ctx
	}
	texts := make([]string, len(data.Batch.QueuedQueries))
	for i, q := range data.Batch.QueuedQueries {
		texts[i] = q.SQL
	}
	describe(span, texts...)
	return ctx
}

// TraceBatchQuery is part of pgx.BatchTracer.
func (statements) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is part of pgx.BatchTracer.
func (statements) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	endStatement(ctx, data.Err)
}

// endStatement ends the span that the start of a statement has put into ctx: where it has put none, that of the caller is not
// recording, and this is without effect.
func endStatement(ctx context.Context, err error) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		tracing.End(span, err)
	}
}

// copyIn is a COPY, which pgx does not tell its tracers of.
func copyIn(ctx context.Context, conn tx, statement string, data []byte) error {
	ctx, span := tracing.StartKind(ctx, trace.SpanKindClient, "statement")
	describe(span, statement)
	_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(data), statement)
	tracing.End(span, err)
	return err
}

// describe says which statements a span is of.
func describe(span trace.Span, texts ...string) {
	if !span.IsRecording() {
		return
	}
	names := make([]string, len(texts))
	for i, text := range texts {
		texts[i] = strings.Join(strings.Fields(text), " ")
		names[i] = summary(texts[i])
	}
	span.SetName(strings.Join(names, ", "))
	text := strings.Join(texts, "; ")
	span.SetAttributes(
		attribute.String("db.system.name", "postgresql"),
		attribute.String("db.query.text", text[:min(len(text), maxText)]),
	)
	if len(texts) > 1 {
		span.SetAttributes(attribute.Int("db.operation.batch.size", len(texts)))
	}
}

// summary is what a statement does and the first table that it names: "INSERT applied_batches".
func summary(text string) string {
	words := strings.Fields(text)
	if len(words) == 0 {
		return "empty"
	}
	verb := strings.ToUpper(strings.TrimRight(words[0], ";"))
	for i, word := range words[:len(words)-1] {
		table := strings.ToLower(words[i+1])
		switch strings.ToUpper(word) {
		case "FROM", "INTO", "UPDATE", "COPY", "TABLE":
			if end := strings.IndexFunc(table, notInName); end != 0 {
				if end > 0 {
					table = table[:end]
				}
				return verb + " " + table
			}
		}
	}
	return verb
}

// notInName ends the name of a table.
func notInName(r rune) bool {
	return r != '_' && r != '.' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
}
