// Package live shows the counts of ballots as they change.
//
// While anybody watches a ballot, the gateway reads it once in an interval, however many watch; while nobody does, not at
// all. Each subscriber gets a snapshot first, read after it came, and then what has changed.
//
// Invariants:
//   - Nobody is sent more than one update in an interval, and each says how the ballot stands now: a subscriber that is
//     slow gets all changes since its last update in one, so it takes no more memory than a fast one.
//   - The sequence number of updates rises with each one, also when a subscriber comes back, here or at another gateway: it
//     follows the clock of the store that was read. Where that clock itself goes back, as after a change of the
//     store, it still rises for those who stay.
//   - Who may not see the counts gets none of them. Rights are those of the query-service; where they differ between
//     viewers, each viewer's are looked at before the first update, and then once a second.
//   - While the counts can't be read the last ones stay, marked stale; after a time subscribers are told that they end.
package live
