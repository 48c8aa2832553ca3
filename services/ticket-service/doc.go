// Package ticketservice is the ticket service: it mints the tickets of every open ballot, and hands out the newest.
//
// All state stands in Redis, in the ledger of the open epoch; any number of replicas may run. Each answers GetTicket;
// one of them, which holds the producer lock, mints. What is promised:
//
//   - From the first ticket of an epoch on there is a current one and its successor, and their windows
//     [created, expires) adjoin: a successor is stored a whole window before it is needed.
//   - There is one ticket per window, however many replicas mint: the script decides.
//   - Nothing waits for Postgres: the history of the tickets is written behind.
//
// When something is away:
//
//	Redis         nothing is minted, and GetTicket says UNAVAILABLE, until it is back. Losing what it held is a change
//	              of epoch, which this service only follows: it reads the row of Postgres every heartbeat, and at once
//	              when a script says that its ledger is another.
//	Postgres      minting and answering go on in the last known epoch, by the last known rules. The history waits (10,000
//	              tickets at most; one that finds no room is logged). A service that is started then waits for it.
//	the holder    another replica takes the lock over within ticket.lock-ttl (etcd: within the life that it grants).
//	the lock's    with ticket.lock etcd: nobody holds the lock, so the replicas fill in: each mints what has been missing
//	store         for ticket.lock-ttl, and the one that was quickest goes on with the next tickets at once. With a
//	              ticket.lock-ttl below the interval no window is missed; else up to ticket.lock-ttl, once. The same
//	              covers a holder that renews its lock and mints nothing.
//
// A stop releases the lock, so that another replica takes over at its next try, and then drains the calls.
package ticketservice
