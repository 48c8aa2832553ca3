package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/votetrace"
)

const (
	readyTimeout = 60 * time.Second
	// foundTimeout bounds the wait for the last span: each process sends its own once a second.
	foundTimeout = 60 * time.Second
	lookEvery    = 500 * time.Millisecond
)

// found is what Jaeger has of the vote.
type found struct {
	Trace   string          `json:"trace"`
	Page    string          `json:"page"`
	API     string          `json:"api"`
	Problem string          `json:"problem,omitempty"` // what of the way is missing
	Spans   votetrace.Spans `json:"spans"`
}

// show starts everything, votes, and writes what was found. The error says that it could not be done.
func show(ctx context.Context, s settings, stdout, stderr io.Writer) (*found, error) {
	program, err := build(ctx, stderr)
	if err != nil {
		return nil, err
	}
	var result *found
	problems := scope.Start(ctx, stderr, func(r *scope.Run) {
		jaeger, collector := startJaeger(r, stderr, program)
		one := startSystem(r, stderr, collector)
		trace := vote(r, one.Service(system.Gateway, 0).Address)
		result = look(r.Context(), jaeger, trace)
		if err := result.write(stdout, s.json); err != nil {
			r.Fatal(err)
		}
		if s.keep {
			fmt.Fprintf(stderr, "Jaeger %s, gateway http://%s/graphql; Ctrl-C ends them\n", jaeger.url, one.Service(system.Gateway, 0).Address)
			<-r.Context().Done()
		}
	})
	if len(problems) > 0 {
		return result, fmt.Errorf("%s", strings.Join(problems, "; "))
	}
	return result, nil
}

// startJaeger starts it on free ports, and returns its query API and where it takes spans.
func startJaeger(r *scope.Run, progress io.Writer, program string) (query, string) {
	page, grpc := process.Address(r), process.Address(r)
	fmt.Fprintln(progress, "starting Jaeger")
	p := process.Start(r, process.Command{Name: "jaeger", Program: program, Dir: scope.Dir(r), Args: []string{
		"--query.http-server.host-port=" + page, "--collector.otlp.grpc.host-port=" + grpc, "--memory.max-traces=100000",
		"--query.grpc-server.host-port=" + process.Address(r), "--collector.otlp.http.host-port=" + process.Address(r),
		"--collector.grpc-server.host-port=" + process.Address(r), "--collector.http-server.host-port=" + process.Address(r),
		"--admin.http.host-port=" + process.Address(r),
	}})
	q := query{url: "http://" + page}
	scope.Eventually(r, readyTimeout, func() error {
		select {
		case <-p.Done():
			r.Fatalf("Jaeger has ended:\n%s", p.Stderr())
		default:
		}
		_, err := q.trace(r.Context(), strings.Repeat("0", 31)+"1")
		return err
	})
	return q, "http://" + grpc
}

// startSystem starts one of every service, on stores of its own, all of which trace everything.
func startSystem(r *scope.Run, progress io.Writer, collector string) *system.System {
	fmt.Fprintln(progress, "starting Little Vote")
	dir := scope.Dir(r)
	programs := filepath.Join(dir, "bin")
	if err := os.Mkdir(programs, 0o750); err != nil {
		r.Fatal(err)
	}
	if err := process.Build(r.Context(), programs); err != nil {
		r.Fatal(err)
	}
	flags := map[system.Kind][]string{}
	for _, kind := range system.Kinds() {
		flags[kind] = []string{"--trace-endpoint=" + collector, "--trace-ratio=1"}
	}
	return system.Start(r, system.Config{Programs: programs, Stores: startStores(r, dir), Flags: flags})
}

func startStores(r *scope.Run, dir string) system.Stores {
	redis, err := embedded.Redis(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = redis.Close() })
	kafka, err := embedded.Kafka(filepath.Join(dir, "kafka"), embedded.Throwaway())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = kafka.Close() })
	postgres, err := embedded.Postgres(r.Context(), filepath.Join(dir, "postgres"), embedded.Throwaway())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = postgres.Close() })
	return system.Stores{Redis: redis.URL(), Kafka: kafka.Brokers(), Postgres: postgres.URL()}
}

// vote casts one, as any client does, and returns the trace that the answer names.
func vote(r *scope.Run, gateway string) string {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+gateway+"/graphql",
		strings.NewReader(`{"query":"mutation { ticketAndVote(usernames: [\"A\"]) { outcome code } }"}`))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil || !strings.Contains(string(answer), `"COUNTED"`) {
		r.Fatalf("the vote: %s %v", answer, err)
	}
	named := strings.Split(response.Header.Get("Traceparent"), "-")
	if len(named) != 4 {
		r.Fatalf("the answer to the vote names no trace: %q", response.Header.Get("Traceparent"))
	}
	return named[1]
}

// look waits until the whole way is there.
func look(ctx context.Context, q query, trace string) *found {
	f := &found{Trace: trace, Page: q.url + "/trace/" + trace, API: q.url + "/api/traces/" + trace}
	for end := time.Now().Add(foundTimeout); ; {
		spans, err := q.whole(ctx, trace)
		if err == nil {
			f.Spans = spans
			err = votetrace.Way(spans, trace, votetrace.Redis)
		}
		if err == nil {
			f.Problem = ""
			return f
		}
		f.Problem = err.Error()
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return f
		}
		if time.Now().After(end) {
			return f
		}
	}
}

func (f *found) write(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(f)
	}
	if err := votetrace.Print(w, f.Spans, f.Trace); err != nil {
		return err
	}
	verdict := "The whole way is there, from the gateway to the rows in the ledger."
	if f.Problem != "" {
		verdict = "Something is missing: " + f.Problem
	}
	_, err := fmt.Fprintf(w, "\n%s\n%s\n", verdict, f.Page)
	return err
}
