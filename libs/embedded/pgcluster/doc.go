// Package pgcluster finds Postgres's programs on this machine and prepares a directory for them to run in, for an
// ordinary user and for root.
//
// Postgres refuses to run as root. For root it runs under the account of the user postgres, or else nobody (a data
// directory that somebody else owns already keeps its owner), and its files belong to that account. That account must
// be able to reach them: where it can't enter one of the directories on the way, such as /root, Postgres's files are
// put under /var/lib/littlevote instead, in a directory of their own with a random name, and a file named moved-to in
// the place where they would have been says where they are. Deleting that file, or the directory it is in, means to
// begin with an empty database; the old files stay under /var/lib/littlevote until somebody removes them.
//
// A home is the directory that holds all that belongs to one server:
//
//	cluster/      what initdb made; appears only when it is whole
//	password      of the role littlevote
//	postgres.log  of the running server; postgres.log.1 of the one before
//	lock          held by the process that runs the server
package pgcluster
