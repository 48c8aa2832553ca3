// Package mutants shows that a rule that is left out is noticed: for each known-wrong variant of libs/faultpoint it names
// tests, or a fault with a seed, that must fail with it, and that pass without.
package mutants
