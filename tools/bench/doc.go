// Bench loads a Little Vote system on this machine and holds each figure against a floor from the same run: a bare
// gqlgen server with the same schema and constant answers, under the same load.
//
//	go run ./tools/bench --up --postgres-url … --redis-url … --kafka-brokers …
//	go run ./tools/bench --url http://127.0.0.1:8080/graphql --postgres-url …
//
// For each operation it runs the floor, then the system, then counts: what the system answers, user_votes and vote_logs
// in Postgres must have grown by what was acknowledged, candidate by candidate.
//
// Exit codes: 0 all is well, 1 the counts are wrong, 2 wrong usage, 3 the benchmark could not be run or an operation had
// no success. (`go run` itself turns all but 0 into 1; build the binary to tell them apart.)
package main
