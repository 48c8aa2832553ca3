// Package wire is the cheapest HTTP/1.1 client that is still right: one keep-alive connection, requests encoded before
// the run, answers read into one buffer. The load generator shares the machine with what it measures, so whatever it
// spends is missing there. Measured against the floor with 200 connections on 2 cores, in processor time of the client a
// request: net/http 29 to 34 µs, fasthttp's client 17 to 19 µs, fasthttp's parser on a connection of our own 16 to 17 µs,
// this 11 to 16 µs, of which 9 to 13 are the kernel's (2026-11-21).
//
// It talks to this machine only: a Target is always a loopback address, resolved once.
package wire
