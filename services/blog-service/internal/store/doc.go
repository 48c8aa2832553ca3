// Package store keeps users and posts in Postgres, which decides about them.
//
// Invariants:
//   - Every statement names the tenant: what belongs to another one is as if it were not there.
//   - An id is made by the statement that inserts the row, from the database's clock in microseconds and a random number
//     below 4; of two that make the same one, the second is refused by the primary key, and tries again.
//   - A post's version grows by one with each change, its deletion too, and never falls.
//   - ErrUnknown says that a write may have happened; after any other error nothing has.
package store
