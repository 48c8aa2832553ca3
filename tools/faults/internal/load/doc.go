// Package load is many simulated voters, each with its own habits, who write down every vote, every answer and every read.
//
// A voter votes, with or without a key, with the newest ticket or with one that it fetched before. A vote with a key whose end
// is unknown is sent again under the same key, by way of another gateway, until it is known; one without a key never is. After
// an acknowledgement a voter often reads its count, sometimes with the token that it was given.
package load
