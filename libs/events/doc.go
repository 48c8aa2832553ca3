// Package events is the vote topic and the two beside it, for dead letters and for the ids of batches without effect: their names,
// what a record may look like, which partition a record goes to, and the clients that write it.
//
// Invariants:
//
//   - One record is one batch, and Encode refuses every batch that Decode would. So a record that Decode calls not ours
//     was never acknowledged by this system, and only such a record may go to the dead-letter topic.
//   - What Decode accepts, Postgres can hold: no NUL in a text, no number that could overflow a sum.
//   - The partition follows from the lane in the key and the number of partitions alone.
//   - A producer reports a record only when its fate is known. Whoever can't wait selects on a deadline beside the
//     produce call, and then must treat the record as maybe sent.
package events
