// Package process builds the programs of the project and runs them as real processes, for tests.
//
// A process ends with its test: at the end of the test by SIGTERM, and if the test binary is killed by the kernel, where it
// can do that. What it wrote is printed if the test fails; a data race or a panic in it fails the test.
package process
