// Package voting is the way of a vote through the vote-service: validate, admit, produce, settle, answer.
//
// Votes of a ballot wait in one queue, and a few workers take from it whatever has gathered while their last batch was
// on its way. A batch is one call of admit.lua, one record in the log and one call of settle.lua; the settlement of a
// batch rides in the same round trip as the admission of the worker's next one.
//
//	queue ─> admit ─> produce ─────────────────> settle ─> lease check ─> answer
//	           │         └ fails: pg_apply ──────────┘
//	           │                     └ fails too: refund, if nothing can have become of it; else unknown
//	           └ no answer: ask what became of it; else unknown
//
// Who may say what (libs/PROTOCOL.md, rules 4 and 5) is kept in finish.go and nowhere else.
package voting
