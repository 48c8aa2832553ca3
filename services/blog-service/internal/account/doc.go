// Package account has users and their sessions.
//
// Invariants:
//   - A password is kept as its argon2id hash only, and is in no log, no error and no metric.
//   - Whoever fails to log in learns nothing: for a name that nobody has, the password is checked against a hash of nobody's,
//     and the answer is the same.
//   - Limits come before hashing, and hashing has few workers and a short queue: a flood of logins is refused, and leaves the
//     CPU to others.
//   - A session is in Redis only, under a hash of its token, so every instance knows it, a restart ends none, and whoever
//     reads Redis can use none. It ends when nobody uses it for the idle time, at its lifetime's end, or by a logout; a use
//     that races with a logout does not bring it back.
package account
