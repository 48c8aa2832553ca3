package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/process"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

const (
	floorPatience  = 10 * time.Second
	systemPatience = 150 * time.Second // more than it gives itself; the embedded Postgres may have to be fetched first
	systemPackage  = "github.com/littlevote/littlevote/tools/littlevote"
)

// startFloor runs this program again, as the floor.
func startFloor(ctx context.Context, folder string) (*process.Process, wire.Target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, wire.Target{}, fmt.Errorf("find this program: %w", err)
	}
	floor, err := process.Start(ctx, floorPatience, filepath.Join(folder, "floor.log"), self, floorCommand)
	if err != nil {
		return nil, wire.Target{}, err
	}
	target, err := wire.ParseTarget(ctx, floor.Addresses["graphql"])
	if err != nil {
		return nil, wire.Target{}, errors.Join(fmt.Errorf("the floor's address: %w", err), floor.Stop())
	}
	return floor, target, nil
}

// startSystem builds and starts everything, and completes the settings by where it is.
func startSystem(ctx context.Context, folder string, s *settings) (*process.Process, error) {
	binary := filepath.Join(folder, "littlevote")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, systemPackage)
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s (run the benchmark in the repository): %w\n%s", systemPackage, err, output)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	system, err := process.Start(ctx, systemPatience, filepath.Join(folder, "littlevote.log"), binary, upArguments(*s, address, folder)...)
	if err != nil {
		return nil, err
	}
	s.url = "http://" + address + "/graphql"
	if s.postgresURL == "" {
		s.postgresURL = system.Addresses["postgres"]
	}
	return system, nil
}

func upArguments(s settings, address, folder string) []string {
	arguments := []string{
		"up", "--listen", address, "--admin-listen", "127.0.0.1:0", "--ticket-cap", "none",
		"--data-dir", filepath.Join(folder, "data"),
	}
	if s.redisURL != "" {
		arguments = append(arguments, "--redis-url", s.redisURL)
	}
	if len(s.kafkaBrokers) > 0 {
		arguments = append(arguments, "--kafka-brokers", strings.Join(s.kafkaBrokers, ","))
	}
	if s.postgresURL != "" {
		arguments = append(arguments, "--postgres-url", s.postgresURL)
	}
	return arguments
}

// freeAddress is one that nobody listens on at this moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
