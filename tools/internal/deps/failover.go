package deps

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// Promote makes the replica of Postgres a primary, as an orchestrator does after the first one has died. See to it that
// the first one is dead: nothing here fences it off. The next Up begins with the first one again, and makes the
// replica anew: what the promoted one has taken is gone then.
func Promote(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s, err := openSite(dir, nil)
	if err != nil {
		return err
	}
	address, err := s.server(PostgresReplica).address()
	if err != nil {
		return err
	}
	done, err := query(ctx, address, "SELECT pg_promote(true, 30)::text")
	if err == nil && done != "true" {
		err = errors.New("it does not become a primary")
	}
	if err != nil {
		return fmt.Errorf("promote %s: %w", PostgresReplica, err)
	}
	return nil
}

// FailoverURL names both servers of Postgres: clients use the one that takes writes.
func FailoverURL(all Addresses) (string, error) {
	hosts := ""
	var found *url.URL
	for _, name := range []string{Postgres, PostgresReplica} {
		for _, address := range all {
			if address.Name != name {
				continue
			}
			u, err := url.Parse(address.Value)
			if err != nil {
				return "", err
			}
			if found == nil {
				found, hosts = u, u.Host
			} else {
				hosts += "," + u.Host
			}
		}
	}
	if found == nil {
		return "", fmt.Errorf("there is no %s", Postgres)
	}
	found.Host = hosts
	q := found.Query()
	q.Set("target_session_attrs", "read-write")
	found.RawQuery = q.Encode()
	return found.String(), nil
}

// setSynchronous says whether the primary waits for its replica. It is no setting of the command line: the primary
// starts before the replica, and could commit nothing until then.
func (s *site) setSynchronous(ctx context.Context, on bool) error {
	address, err := s.server(Postgres).address()
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	names := ""
	if on {
		names = "*"
	}
	_, err = conn.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
	if err == nil {
		_, err = conn.Exec(ctx, "SELECT pg_reload_conf()")
	}
	return errors.Join(err, conn.Close(ctx))
}
