package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/pgledger"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

var (
	// ErrWrong says that the report was printed, and that something is wrong.
	ErrWrong = errors.New("fsck found something wrong")
	// ErrNoLook says that a store did not answer: nothing is known.
	ErrNoLook = errors.New("fsck could not look")
)

// report is what fsck found.
type report struct {
	OK       bool               `json:"ok"`
	Epoch    int64              `json:"epoch"`
	Rows     int64              `json:"rows"`    // of the ledger
	Votes    int64              `json:"votes"`   // sum over the ledger
	Records  int64              `json:"records"` // of the log that were compared
	Findings []pgledger.Finding `json:"findings"`
	Skipped  []string           `json:"skipped"` // what was not looked at, and why
}

// FsckCommand is `littlevote fsck`.
func FsckCommand() *cobra.Command {
	f := fsck{report: report{Findings: []pgledger.Finding{}, Skipped: []string{}}}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Recount everything, and name every row that is wrong",
		Long: `Adds up the whole ledger in Postgres and compares it with all that follows from it: tallies, the uses of each ticket and its
cap, votes and batches that stand there twice, idempotency keys, voters and their limits, certified results. Where Kafka is
known, each record that is still in the log and that the persister has passed is compared with the ledger, row by row; where a
Redis is known, its counts are compared with the ledger at one exact moment.

Everything in Postgres is read in one snapshot, and nothing is changed: it may run while votes come in.

Exits with 0 if all is well, 1 if something is wrong, 2 if a store did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.stores.Find(); err != nil {
				return err
			}
			f.progress = progressOn(cmd.ErrOrStderr())
			err := f.run(cmd.Context())
			f.progress("")
			if err != nil {
				return fmt.Errorf("%w: %w", ErrNoLook, err)
			}
			if err := f.report.print(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			if !f.report.OK {
				return ErrWrong
			}
			return nil
		},
	}
	f.stores.Flags(cmd, reach.Redis, reach.OptionalKafka)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().DurationVar(&f.wait, "wait", 10*time.Second, "how long Postgres may take to hold what Redis counts")
	return cmd
}

// fsck is one run.
type fsck struct {
	stores   reach.Stores
	wait     time.Duration
	progress func(text string)
	report   report
}

func (f *fsck) run(ctx context.Context) error {
	pool, err := f.stores.Pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	err = pgledger.Snapshot(ctx, pool, func(tx pgx.Tx) error {
		found, err := pgledger.Check(ctx, tx, func(check string) { f.progress("checking: " + check) })
		if err != nil {
			return err
		}
		f.report.Epoch, f.report.Rows, f.report.Votes = found.Epoch.Number, found.Rows, found.Votes
		f.found(found.Findings)
		return f.checkLog(ctx, tx)
	})
	if err != nil {
		return err
	}
	if err := f.checkRedis(ctx, pool); err != nil {
		return err
	}
	f.report.OK = len(f.report.Findings) == 0
	return nil
}

func (f *fsck) found(findings []pgledger.Finding) {
	f.report.Findings = append(f.report.Findings, findings...)
}

func (f *fsck) skip(format string, args ...any) {
	f.report.Skipped = append(f.report.Skipped, fmt.Sprintf(format, args...))
}

func (r report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	p := &printer{w: w}
	p.line("epoch %d; ledger: %d rows, %d votes; log: %d records", r.Epoch, r.Rows, r.Votes, r.Records)
	for _, s := range r.Skipped {
		p.line("not looked at: %s", s)
	}
	for _, d := range r.Findings {
		place := d.Row
		if d.Ballot != "" {
			place = d.Ballot + "/" + d.Row
		}
		p.line("WRONG %s %s: %s", d.Check, place, d.Text)
	}
	if r.OK {
		p.line("all is well")
	} else {
		p.line("%d rows are wrong", len(r.Findings))
	}
	return p.err
}

// printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// progressOn shows one line that changes, where somebody watches; an empty text clears it.
func progressOn(w io.Writer) func(text string) {
	file, ok := w.(*os.File)
	if !ok {
		return func(string) {}
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(string) {}
	}
	return func(text string) { _, _ = fmt.Fprint(w, "\r\x1b[K"+text) } // only for show
}
