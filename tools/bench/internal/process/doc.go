// Package process runs what the benchmark measures as processes of their own: the floor, and the whole system.
//
// A process says on its standard output where it listens, as name=address lines, and then `ready`. It is in a process
// group of its own, so that Ctrl-C at the terminal reaches the benchmark alone, which still has counts to verify before
// it stops the others. On Linux the kernel ends it if the benchmark is killed.
package process
