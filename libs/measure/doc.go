// Package measure is the metrics that several packages have in common: calls to stores and connections to them, by the names of
// OpenTelemetry's semantic conventions, and the label "ballot".
//
// Every label's values come from a set that is closed or bounded, whatever the outside sends: operations are names of our own, and
// no more than maxBallots ballots are told apart. No metric names a candidate, a voter or a tenant.
package measure
