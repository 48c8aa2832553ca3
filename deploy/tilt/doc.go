// Package tilt holds the tests of the Tiltfile at the root of the repository. They execute it with stand-ins for Tilt's own
// functions, which take the arguments that Tilt 0.37 takes and refuse others.
package tilt
