//go:build !race

package sim

// schedules is how many are played where nobody asks for another number.
const schedules = 1000
