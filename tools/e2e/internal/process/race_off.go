//go:build !race

package process

// raceDetector says that the tests run under the race detector, so that the programs do too.
const raceDetector = false
