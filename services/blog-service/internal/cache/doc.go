// Package cache keeps what is read often in three levels: this process (L1), Redis (L2), Postgres (L3).
//
// # What each level serves, and how old it may be
//
// L1 holds what is hot, and nothing else: keys that HeavyKeeper counts among the most read, here or on another instance, at
// most LocalSize of each kind for LocalTTL. It is asked only while this process hears Redis's messages about changes: every
// write is announced there before it is acknowledged, so what L1 serves is as old as a message is on its way, and up to
// three seconds (silence) where the connection has died without a word. Where a message gets lost otherwise, LocalTTL is the
// bound. After each break in the connection L1 begins empty.
//
// L2 holds everything that was read, for SharedTTL and a random part of SharedJitter. A write puts its result there before
// it is acknowledged; each entry has a version, and put.lua never replaces one by an older one, so a reader who fetched
// before a write and stores after it does no harm. What a write could not put there, since Redis was away, is dirty: this
// process reads it from Postgres, and puts it right as soon as Redis answers. Should the process die before that, other
// readers may see the old version for as long as its entry lasts in Redis, SharedTTL and SharedJitter at most.
//
// L3 decides. Fetches are batched, bounded and coalesced (libs/loader).
//
// That there is no such thing is remembered for AbsentTTL. A deletion is a version like any other, so it lasts.
//
// # Who wrote reads what they wrote
//
// A reader who is named is never given their own things by L1, nor by a fetch that had begun before they asked; L2 has what
// they wrote since before the acknowledgement, unless Redis failed that very write (see dirty, above). Fresh goes to Postgres
// at once, and is never old.
//
// # When a level is away
//
// Without Redis neither L1 nor L2 is asked, and Postgres answers, with its workers and queue as the bound: what does not
// fit is loader.ErrOverloaded. Without Postgres L2 serves what it has; what then can't be had in the ordinary way, and L1 or L2
// holds in whatever version, is served and said to be stale.
package cache
