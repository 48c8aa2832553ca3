// Package faultpoint is where tests reach into the running programs: failpoints, known-wrong variants and a clock that is
// off. In a binary without the build tag "faults" every function here is a constant that the compiler takes away.
//
// With the tag, the environment decides, once, at the start:
//
//	LITTLEVOTE_FAILPOINT     name=action, several with commas between; action is exit (the process dies at once, as if
//	                         killed), sleep:DURATION, or exit:N (at the Nth time that it comes by)
//	LITTLEVOTE_MUTANT        the name of one rule that is left out; each is listed in Mutants with the hole it opens
//	LITTLEVOTE_CLOCK_OFFSET  a duration that is added to this process's clock
package faultpoint
