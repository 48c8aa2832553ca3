// Package process builds the programs of the project and runs them as real processes.
//
// A process ends with its scope: by SIGTERM, and if this process is killed by the kernel, where it can do that. What it wrote
// is shown if the scope has failed; a data race or a panic in it fails the scope.
package process
