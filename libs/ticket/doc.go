// Package ticket makes and checks the value of a ticket: a self-describing text that nobody can guess or forge.
//
// A value is base64url without padding over these bytes, at most 256 characters in all:
//
//	format       1 byte, 1
//	ballot       uvarint length, then the name
//	epoch        uvarint
//	number       uvarint
//	fence        uvarint
//	issued at    uvarint, milliseconds since 1970
//	lifetime     uvarint, milliseconds from issued at to the planned expiry
//	nonce        16 random bytes
//	tag          the first 16 bytes of HMAC-SHA256 over all of the above
//
// What the value says is true, since only a holder of the key can say it; whether the ticket admits a vote now is for
// the ledger to decide. Checking a value needs no I/O, so forged tickets cost nothing. The text is canonical: of all
// the texts that decode to the same bytes only the one that was handed out is accepted.
//
// The tickets of ballots that published clients vote on have values of other forms, which say nothing: see Form.
//
// Keys come in a pair for rotation: the first one signs, and both verify. The file with them is read again when it changes, so no
// process is restarted. What keeps every vote whole is the order, for the processes read the file at different moments:
//
//  1. Write the new key as second into the file of every gateway, ticket-service and vote-service. From then on all of them
//     believe what it has signed, and nothing is signed with it yet.
//  2. When all have read it (each logs it within a second of the file's arrival; a secret of Kubernetes takes up to two
//     minutes to arrive), write the new key first and the old one second. Whoever mints signs with the new one from then on.
//  3. When the last ticket of the old key has ended (ticket.interval and a minute after all have read it), leave the old one
//     out. What somebody signs with it from then on is refused.
//
// A key that has become known to others can't wait for tickets to end: do the first two steps, and the third at once; votes on the
// tickets of the old key are then refused as invalid until their voters have newer ones, for ticket.interval at most.
package ticket
