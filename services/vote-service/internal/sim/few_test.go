//go:build race

package sim

// schedules is how many are played where nobody asks for another number. The race detector makes each ten times as slow.
const schedules = 100
