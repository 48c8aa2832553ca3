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
// Keys come in a pair for rotation: the current one signs, and the previous one still verifies. To rotate, give every
// checking process the new key as second, then make it first, then drop the old one.
package ticket
