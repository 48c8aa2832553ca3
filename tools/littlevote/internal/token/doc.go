// Package token makes tokens for trying a system out: `up` trusts a key in its data directory, and `littlevote token` signs
// with it. Whoever can read that directory can be anybody, so it is readable for its owner alone.
package token
