package epochs

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
)

func (o *options) print(w io.Writer, now epoch.Overview) error {
	if o.asJSON {
		return json.NewEncoder(w).Encode(now)
	}
	_, err := io.WriteString(w, text(now))
	return err
}

func text(now epoch.Overview) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	ledger := "Redis"
	if now.Mode == epoch.Postgres {
		ledger = "Postgres"
	}
	line("epoch %d: %s in %s since %s (%v): %s", now.Epoch, now.State, ledger, now.Since.UTC().Format(time.RFC3339), ago(now, now.Since), now.Reason)
	if now.Held {
		line("held in Postgres by an operator, until `epoch release`")
	}
	if now.CaughtUpAt != nil && now.CaughtUpAt.Year() > 1970 { // before that the persister has not looked yet
		line("the ledger holds everything that was in the log %v ago", ago(now, *now.CaughtUpAt))
	}
	line("participants: %d", len(now.Participants))
	for _, p := range now.Participants {
		state := fmt.Sprintf("lease for %v", until(now, p.LeaseUntil))
		switch {
		case p.Stopped:
			state = "stopped"
		case !now.Now.Before(p.LeaseUntil):
			state = fmt.Sprintf("lease over for %v", ago(now, p.LeaseUntil))
		case now.Holds(p):
			state += ", the change waits for it"
		}
		if p.RedisAwaySince != nil {
			state += fmt.Sprintf(", without Redis for %v", ago(now, *p.RedisAwaySince))
		}
		line("  %s %s: epoch %d, %s", p.Service, p.ID, p.Epoch, state)
	}
	line("persisters: %d", len(now.Persisters))
	for _, p := range now.Persisters {
		state := "alive"
		if !now.Now.Before(p.LeaseUntil) {
			state = "gone"
		}
		line("  %s: reads format %d, %s", p.ID, p.ReadsFormat, state)
	}
	line("ballots: %d", len(now.Ballots))
	for _, ballot := range now.Ballots {
		where := "in this epoch"
		if !ballot.Here {
			where = "not in this epoch yet"
		}
		line("  %s: %s, %s", ballot.Ballot, ballot.State, where)
	}
	return b.String()
}

func ago(now epoch.Overview, t time.Time) time.Duration {
	return max(now.Now.Sub(t), 0).Round(100 * time.Millisecond)
}

func until(now epoch.Overview, t time.Time) time.Duration { return -now.Now.Sub(t).Round(time.Second) }
