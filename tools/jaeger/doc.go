// Command jaeger shows one vote in a real Jaeger: it builds Jaeger's all-in-one (once; the module server pins it), starts it and a
// Little Vote of separate processes that sends it every trace, casts a vote, and finds the whole way of it, from the gateway to the
// rows in the ledger, in what Jaeger's query API has.
//
// Exit codes: 0 the whole way was found, 1 something of it is missing, 2 the command line is wrong, 3 it could not be run.
package main
