package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Database is the one that CreateDatabase makes.
const Database = "littlevote"

// Server is the command that runs a postmaster on the home's cluster: in the foreground, on 127.0.0.1 only. Settings
// are name=value and overrule the cluster's own. The log goes to where the caller sends the command's output.
func (h Home) Server(programs Programs, port int, settings ...string) *exec.Cmd {
	settings = append([]string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=", "logging_collector=off",
		"timezone=UTC", "log_timezone=UTC", "lc_messages=C",
	}, settings...)
	args := []string{"-D", h.Cluster()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(programs.Path("postgres"), args...)
	h.Account.Adopt(cmd, h.Dir)
	return cmd
}

// URL is where clients of the home's server connect, as a superuser.
func (h Home) URL(port int) (string, error) {
	password, err := h.Password()
	if err != nil {
		return "", err
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(Role, password),
		Host:     fmt.Sprintf("127.0.0.1:%d", port),
		Path:     Database,
		RawQuery: "sslmode=disable",
	}
	return u.String(), nil
}

// CreateDatabase makes the database that URL names if the server has none yet.
func (h Home) CreateDatabase(ctx context.Context, port int) error {
	address, err := h.URL(port)
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return err
	}
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	var there bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", Database).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{Database}.Sanitize())
	}
	return errors.Join(err, conn.Close(ctx))
}
