// Package voteservice is the service that decides votes. Many instances serve every ballot; none of them holds
// anything that another could not take over.
//
// One instance runs: the RPC port; the engine (internal/voting), which admits, logs and settles votes and looks after
// batches that other instances left; its part in the epochs (libs/epoch), and the changer, which opens an epoch when
// none is open and changes it when Redis lost its state.
//
// On a stop it first refuses new calls, then answers the votes it has taken, then gives its lease up.
package voteservice
