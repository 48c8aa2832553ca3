// Package reads brings tickets and counts from the ticket- and the query-service.
//
// Reads that wait at the same moment go in one call, and the same read is asked once, whatever the number of its
// callers. A read joins only a call that has not been sent, so its answer is never older than its question. One
// caller's cancellation fails nobody else: calls have deadlines of their own.
//
// Answers are shared between callers and never written to.
package reads
