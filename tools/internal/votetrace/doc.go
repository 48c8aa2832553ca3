// Package votetrace reads the way of one vote out of traces: from the request in the gateway to the rows in the ledger, over the
// links between the vote's own spans and the batches that carried it. A test reads it out of what the processes send, a command out
// of a real Jaeger; what the way must look like is the same.
package votetrace
