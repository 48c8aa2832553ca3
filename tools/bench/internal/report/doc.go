// Package report holds what a benchmark found, and writes it as a table for people or as JSON for programs. A figure
// never stands without the machine, the settings, the command and the date.
package report
