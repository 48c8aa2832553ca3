// Package doctor is `littlevote doctor`: it looks at a deployment from outside and says what is wrong, or weaker than it might be.
//
// Each part has two halves: one asks a store or a process for facts, the other judges them and needs nobody for that. Nothing
// is changed, and whatever does not answer is a finding, never the end: the others are examined all the same.
package doctor
