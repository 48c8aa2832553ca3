// Package ticketservice is the ticket service: it mints the tickets of every open ballot, and hands out the newest.
//
// All state stands in the ledger of the open epoch, in Redis or, while that is away, in Postgres; any number of replicas may
// run. Each answers GetTicket; one of them, which holds the producer lock, mints. What is promised:
//
//   - From the first ticket of an epoch on there is a current one and its successor, and their windows
//     [created, expires) adjoin: a successor is stored a whole window before it is needed.
//   - There is one ticket per window, however many replicas mint: the ledger decides.
//   - In an epoch in Redis nothing waits for Postgres: the history of the tickets is written behind.
//   - An epoch that has begun has its first tickets some 0.2 s later, whoever holds the lock.
//
// When something is away:
//
//	Redis         nothing is minted, and GetTicket says UNAVAILABLE, until the epoch has changed. This service only follows:
//	              it reads the row of Postgres every 150 ms, and at once when a ledger says that its epoch is over. A call
//	              that hangs is given up when that is so. In an epoch in Postgres every replica mints, since the lock may
//	              stand in the Redis that is away; and back in Redis nothing waits for the lock to be taken.
//	Postgres      minting and answering go on in the last known epoch, if that is in Redis, by the last known rules. The
//	              history waits (10,000 tickets at most; one that finds no room is logged). A service that is started then
//	              waits for it.
//	the holder    another replica takes the lock over within ticket.lock-ttl (etcd: within the life that it grants).
//	the lock's    with ticket.lock etcd: nobody holds the lock, so the replicas fill in: each mints what has been missing
//	store         for ticket.lock-ttl, and the one that was quickest goes on with the next tickets at once. With a
//	              ticket.lock-ttl below the interval no window is missed; else up to ticket.lock-ttl, once. The same
//	              covers a holder that renews its lock and mints nothing.
//
// A stop releases the lock, so that another replica takes over at its next try, and then drains the calls.
package ticketservice
