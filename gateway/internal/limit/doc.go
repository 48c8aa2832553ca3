// Package limit bounds how often somebody may ask: one address (of IPv6 a /64), one IPv6 /48, one voter and one tenant.
//
// Invariants:
//   - A request takes from all its limits or from none: who is refused for the address takes nothing of the tenant's.
//   - Redis, if there is one, is asked once a request, together with what else is asked at the same moment, and for a short time
//     at most. While it does not answer each process keeps the limits by itself; nobody waits for it, and nobody gets through free.
//   - Who was refused is refused by this process alone until their time has come: a flood does not reach Redis.
//   - Memory is bounded: beyond so many callers those who were seen least are forgotten.
//   - Neither addresses nor voters are in Redis's keys, only what they hash to.
package limit
