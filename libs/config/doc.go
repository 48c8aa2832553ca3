// Package config fills settings structs from the command line, the environment and a YAML file, and starts programs with them.
//
// A setting is a struct field with a key and a help text:
//
//	type Ticket struct {
//		Interval time.Duration `key:"interval" help:"how long one ticket is the newest, 100ms to 1h"`
//	}
//	type Config struct {
//		Ticket Ticket `key:"ticket"`
//	}
//
// The key is the path of the keys, here "ticket.interval". In the YAML file it may be nested or dotted, the flag is
// --ticket-interval, the variable LITTLEVOTE_TICKET_INTERVAL. What the struct holds before is the default. Flags win over the
// environment, the environment over the file, the file over the defaults.
//
// A variable LITTLEVOTE_TICKET_INTERVAL_FILE names a file that holds the value instead, as Docker and Kubernetes give secrets: its
// line breaks at the end do not count. Both variables at once are refused.
//
// Invariants:
//   - Nothing is ignored: an unknown key of the file, an unknown LITTLEVOTE_ variable and a value that does not parse stop the
//     start, even where another layer would have won. Only LITTLEVOTE_TEST_ variables are skipped; they belong to the tests.
//   - Every error names the key, what was expected and where the value came from; all errors are reported together.
//   - No secret is ever printed: not by Print, not by --help, not in an error. What came from a file is taken for a secret.
package config
