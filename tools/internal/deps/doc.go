// Package deps runs the real servers that Little Vote depends on, on loopback, in one data directory, for tests,
// benchmarks and development without containers: Redis, Apache Kafka with one broker or three, Postgres with one streaming
// replica that may be promoted, and etcd.
//
// The servers outlive the command that started them. What is known of them is in <dir>/state.json: the ports, which are
// chosen free at the first start and kept, and of each running server the process id together with a mark that tells
// the process from a later one with the same id. A server that was killed is started again by the next Up, on its data
// and its ports. One Up or Down works on a directory at a time.
//
// In the place of the single Redis there may be a Redis Cluster of three masters and three replicas (redis-cluster), or a
// Redis with a replica and three Sentinels (redis-sentinel). The same suites run against each kind:
//
//	eval "$(littlevote deps up --only=redis --redis-cluster --env)"
//	go test -p 1 ./libs/redisledger/... ./libs/epoch/... ./services/... ./tools/e2e/...
//
//	<dir>/state.json
//	<dir>/<server>/            its data
//	<dir>/<server>/server.log  what it said, and server.log.1 of the run before
//	<dir>/kafka/libs-4.1.0/    Kafka's jars, unless a cache directory is given
//
// Where root's Postgres can't reach <dir>, its files are elsewhere; see package pgcluster.
package deps
