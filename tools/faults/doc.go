// Command faults shows that the system keeps its promises while its parts die, hang, forget, lag and come back.
//
//	go run ./tools/faults list                      all faults, what each does, what voters may see of it
//	go run ./tools/faults run F7 [--seed 3]         one fault, once or --seeds times
//	go run ./tools/faults all --seeds 20            all of them; goes on where it was stopped
//	go run ./tools/faults mutants                   known-wrong variants, each of which a test or a fault must catch
//	go run ./tools/faults soak --duration 10m       one random fault a minute; memory must stay flat
//	go run ./tools/faults ci                        what runs for every change
//	go run ./tools/faults report                    the table of all runs so far
//
// It needs redis-server, Java with Maven, and Postgres with pg_basebackup; everything listens on loopback, at free ports. Each
// run appends a line to .data/faults/results.ndjson; a run that fails leaves a folder with every log, the voters' history and
// the tables. Ctrl-C stops everything within 10 s.
package main
