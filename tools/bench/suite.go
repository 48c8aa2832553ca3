package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/load"
	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/process"
	"github.com/littlevote/littlevote/tools/bench/internal/report"
	"github.com/littlevote/littlevote/tools/bench/internal/verify"
	"github.com/littlevote/littlevote/tools/bench/internal/voter"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

// answerTimeout is longer than any deadline inside the system.
const answerTimeout = 10 * time.Second

// suite is one benchmark. The load ends with soft, everything with hard.
type suite struct {
	soft, hard context.Context
	settings   settings
	meter      *meter
	floor      wire.Target
	system     wire.Target
	auditor    *auditor // nil if the system is not measured or not voted on
	report     *report.Report
}

// benchmark starts what is to be measured, measures it and stops it. The report is nil if it never came to a measurement.
func benchmark(soft, hard context.Context, s settings, command string, stderr io.Writer) (found *report.Report, err error) {
	folder, err := os.MkdirTemp("", "littlevote-bench-")
	if err != nil {
		return nil, fmt.Errorf("a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	steps := len(s.operations)
	if !s.floorOnly {
		steps *= 2
	}
	b := &suite{soft: soft, hard: hard, settings: s, meter: newMeter(stderr, steps)}

	floor, target, err := startFloor(soft, folder)
	if err != nil {
		return nil, err
	}
	defer stop(floor, &err)
	b.floor = target
	if s.up {
		b.meter.say("Building and starting the system ...")
		system, err := startSystem(soft, folder, &b.settings)
		if err != nil {
			return nil, err
		}
		defer stop(system, &err)
	}
	b.report = b.blank(command)
	if !s.floorOnly {
		if err := b.attach(); err != nil {
			return nil, err
		}
		defer b.detach()
	}
	return b.report, b.all()
}

func stop(p *process.Process, err *error) { *err = errors.Join(*err, p.Stop()) }

// blank is a report without figures.
func (b *suite) blank(command string) *report.Report {
	s := b.settings
	r := &report.Report{
		Date: time.Now(), Command: command, Machine: report.ThisMachine(), Verified: true,
		Settings: report.Settings{
			Connections: s.connections, RatePerSecond: s.rate, WarmUpSeconds: s.warmUp.Seconds(),
			DurationSeconds: s.duration.Seconds(), NamesPerVote: s.names,
		},
	}
	if !s.floorOnly {
		r.Settings.Target = s.url
	}
	return r
}

// attach finds the system and reads how its counts stand.
func (b *suite) attach() error {
	var err error
	if b.system, err = wire.ParseTarget(b.soft, b.settings.url); err != nil {
		return err
	}
	writes := false
	for _, o := range b.settings.operations {
		writes = writes || o.Writes()
	}
	if !writes {
		return nil
	}
	if b.auditor, err = newAuditor(b.soft, b.system, b.settings); err != nil {
		return err
	}
	b.adviseOnCap()
	return nil
}

func (b *suite) detach() {
	if b.auditor != nil {
		b.auditor.close()
	}
}

// adviseOnCap says how to raise a cap that would turn most votes into refusals.
func (b *suite) adviseOnCap() {
	conn := wire.NewConn(b.system, answerTimeout)
	defer conn.Close()
	var left string
	answer, err := conn.Do(b.soft, operation.Requests(b.system, operation.GetTicket, 1)[0])
	if err == nil {
		var ticket operation.Ticket
		if ticket, err = operation.DecodeTicket(answer); err == nil && ticket.RemainingUsages == voter.NoCap {
			return
		}
		left = fmt.Sprintf("its newest ticket has %d uses left", ticket.RemainingUsages)
	}
	if err != nil {
		left = err.Error()
	}
	b.note("the system caps its tickets (%s): votes above the cap are refused. To measure votes, start it with --ticket-cap none "+
		"(environment LITTLEVOTE_TICKET_CAP=none, YAML ticket.cap: none)", left)
}

func (b *suite) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.report.Notes = append(b.report.Notes, text)
	b.meter.say("Note: %s", text)
}

// all measures the operations, each on the floor and then on the system.
func (b *suite) all() error {
	for _, o := range b.settings.operations {
		if b.soft.Err() != nil {
			break
		}
		if err := b.one(o); err != nil {
			return err
		}
	}
	b.meter.clear()
	b.report.Interrupted = b.soft.Err() != nil
	if b.report.Interrupted {
		return nil
	}
	return b.empty()
}

// one measures an operation.
func (b *suite) one(o operation.Operation) error {
	b.report.Operations = append(b.report.Operations, report.Operation{Name: string(o)})
	entry := &b.report.Operations[len(b.report.Operations)-1]
	var err error
	if entry.Floor, err = b.load(o, "floor", b.floor, nil); err != nil {
		return err
	}
	if b.settings.floorOnly || b.soft.Err() != nil {
		return nil
	}
	if b.auditor == nil || !o.Writes() {
		entry.System, err = b.load(o, "system", b.system, nil)
	} else {
		err = b.vote(o, entry)
	}
	if entry.System != nil && entry.Floor != nil && entry.Floor.PerSecond > 0 {
		entry.Ratio = entry.System.PerSecond / entry.Floor.PerSecond
	}
	return err
}

// vote measures an operation that votes, and verifies the counts.
func (b *suite) vote(o operation.Operation, entry *report.Operation) error {
	var err error
	lag, lagErr := b.auditor.watch(b.hard, func() {
		entry.System, err = b.load(o, "system", b.system, b.auditor.account)
	})
	if err != nil || entry.System == nil {
		return err
	}
	if lagErr != nil {
		b.note("the lag of Postgres is not known: %v", lagErr)
		lag = nil
	}
	b.meter.say("Verifying the counts ...")
	entry.Verification = b.auditor.audit(b.hard)
	entry.Verification.LagHighestSeconds = lag
	b.report.Verified = b.report.Verified && agreed(entry.Verification)
	return nil
}

// load runs one operation against one side. It gives nothing if it was interrupted before it could begin.
func (b *suite) load(o operation.Operation, side string, target wire.Target, account *verify.Account) (*report.Measured, error) {
	crowd := voter.Crowd{Target: target, Operation: o, Names: b.settings.names, Timeout: answerTimeout, Account: account}
	if o == operation.Vote {
		permit, err := voter.NewPermit(b.soft, target, b.settings.names, answerTimeout)
		switch {
		case err != nil && b.soft.Err() != nil:
			return nil, nil // interrupted while it asked
		case err != nil:
			return nil, fmt.Errorf("%s, %s: no ticket: %w", o, side, err)
		}
		defer permit.Close()
		crowd.Permit = permit
	}
	clients := make([]load.Client, 0, b.settings.connections)
	for _, v := range crowd.Gather(b.settings.connections) {
		clients = append(clients, v)
	}
	plan := load.Plan{Rate: b.settings.rate, WarmUp: b.settings.warmUp, Duration: b.settings.duration, Sleep: load.Sleep}
	name := fmt.Sprintf("%s, %s", o, side)
	result := load.Run(b.soft, plan, clients, b.meter.every(), b.meter.run(name, plan.WarmUp+plan.Duration))
	b.meter.ended(name, result)
	return report.Measure(result, b.report.Machine.Cores), nil
}

// empty refuses to call a benchmark good that measured nothing.
func (b *suite) empty() error {
	for _, entry := range b.report.Operations {
		for side, measured := range map[string]*report.Measured{"floor": entry.Floor, "system": entry.System} {
			if measured != nil && measured.LatencyMs.Samples == 0 {
				return fmt.Errorf("%s, %s: not one success", entry.Name, side)
			}
		}
	}
	return nil
}
