// Package testenv gives tests their servers: real ones where the environment names them, else embedded ones. The same
// test runs on both, and a server that is named but away fails it.
//
//	LITTLEVOTE_TEST_REDIS_URL       redis://…
//	LITTLEVOTE_TEST_KAFKA_BROKERS   host:port,host:port
//	LITTLEVOTE_TEST_POSTGRES_URL    postgres://… of a role that may create databases
//	LITTLEVOTE_TEST_ETCD_ENDPOINTS  http://host:port,…
//
// `littlevote deps up --env` prints them. Real servers are shared by all tests and are never flushed, so a test keeps
// to names of its own: Namespace for Redis and etcd, Topic for Kafka. Postgres gives each test a database of its own.
//
// Of the embedded servers, Redis and Kafka are new at each call and end with the test. Postgres and etcd are started
// once per test process, by the first test that asks, and end with the process, also when that is killed; a goroutine
// in embedded.(*child).run waits for each.
package testenv
