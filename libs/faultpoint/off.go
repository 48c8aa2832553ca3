//go:build !faults

package faultpoint

import "time"

// Enabled says whether this binary was built for faults.
const Enabled = false

// Hit is a failpoint: a place at which a test may end or stop the process.
func Hit(string) {}

// Mutant says whether the rule of that name is left out.
func Mutant(string) bool { return false }

// Now is the process's clock.
func Now() time.Time { return time.Now() }

// Variable says whether an environment variable is one of this package, and no setting.
func Variable(string) bool { return false }
