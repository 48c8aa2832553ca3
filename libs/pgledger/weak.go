package pgledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Weak names the promises that this Postgres can't keep, in words for the operator. It asks for settings alone, which every user may
// read.
func Weak(ctx context.Context, db DB) ([]string, error) {
	set := map[string]string{}
	rows, err := db.Query(ctx, "SELECT name, current_setting(name) FROM unnest($1::text[]) AS name",
		[]string{"fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names"})
	if err != nil {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	var name, value string
	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		set[name] = value
		return nil
	}); err != nil {
		return nil, fmt.Errorf("ask for settings: %w", err)
	}
	return weakIn(set), nil
}

func weakIn(set map[string]string) []string {
	var all []string
	if set["fsync"] == "off" || set["full_page_writes"] == "off" {
		all = append(all, "Postgres does not write carefully (fsync or full_page_writes is off): the loss of power may spoil the ledger (G1, G2)")
	}
	switch commit := set["synchronous_commit"]; {
	case commit == "off":
		all = append(all, "Postgres answers before its commits are on disk (synchronous_commit is off): a crash loses votes that Kafka does not hold (G1)")
	case strings.TrimSpace(set["synchronous_standby_names"]) == "":
		all = append(all, "Postgres waits for no replica (synchronous_standby_names is empty): the loss of its disk, or a failover, loses what was committed a moment before and Kafka does not hold (G1)")
	case commit == "local":
		all = append(all, "Postgres waits for no replica (synchronous_commit is local): a failover loses what was committed a moment before and Kafka does not hold (G1)")
	}
	return all
}
