package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/libs/tracing"
)

const (
	exitOK        = 0
	exitRunFailed = 1
	exitBadConfig = 2
)

// Program is one command line.
type Program struct {
	Name    string
	Args    []string // without the program's own name
	Environ []string // as os.Environ gives it
	Stdout  io.Writer
	Stderr  io.Writer
	Targets []any
	Run     func(ctx context.Context, log *slog.Logger) error
}

// Main is the whole of a cmd/<name>/main.go: it loads the settings into targets and runs the program until it ends or SIGINT or
// SIGTERM comes; a second signal kills. The exit code is 0 after a clean end, 1 if run failed, 2 for bad settings.
func Main(name string, targets []any, run func(ctx context.Context, log *slog.Logger) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // From here the next signal has its default effect.
	program := Program{
		Name: name, Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
		Targets: targets,
		Run: func(ctx context.Context, log *slog.Logger) error {
			slog.SetDefault(log) // For libraries that log on their own: net/http tells of failed handshakes only there.
			return run(ctx, log)
		},
	}
	os.Exit(program.Execute(ctx))
}

// Execute loads the settings, runs the program and returns its exit code.
func (p Program) Execute(ctx context.Context) int {
	flags := pflag.NewFlagSet(p.Name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // Errors and help are printed below, each once.
	var own struct {
		Log Log `key:"log"`
	}
	loader, err := Bind(flags, append([]any{&own}, p.Targets...)...)
	if err != nil {
		return p.refuse(err)
	}
	if err := flags.Parse(p.Args); errors.Is(err, pflag.ErrHelp) {
		return p.help(flags)
	} else if err != nil {
		return p.refuse(err)
	}
	if flags.NArg() > 0 {
		return p.refuse(fmt.Errorf("expected flags only, got %q", flags.Arg(0)))
	}
	if err := loader.Load(p.Environ); err != nil {
		return p.refuse(err)
	}
	if loader.PrintOnly() {
		if err := loader.Print(p.Stdout); err != nil {
			return p.refuse(err)
		}
		return exitOK
	}
	lines := slog.NewJSONHandler(p.Stderr, &slog.HandlerOptions{Level: own.Log.Level})
	log := slog.New(tracing.Logs(lines)).With("service", p.Name)
	return p.run(ctx, log)
}

func (p Program) run(ctx context.Context, log *slog.Logger) int {
	log.InfoContext(ctx, "starting")
	err := p.Run(ctx, log)
	var keyed *KeyError
	switch {
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled):
		log.InfoContext(ctx, "stopped")
		return exitOK
	case errors.As(err, &keyed):
		log.ErrorContext(ctx, "bad settings", "error", err)
		return exitBadConfig
	default:
		log.ErrorContext(ctx, "failed", "error", err)
		return exitRunFailed
	}
}

func (p Program) refuse(err error) int {
	// A mistyped flag may hold a password, and the flag library repeats it.
	fmt.Fprintf(p.Stderr, "%s: bad settings:\n%s\n", p.Name, redactURL(err.Error()))
	return exitBadConfig
}

func (p Program) help(flags *pflag.FlagSet) int {
	fmt.Fprintf(p.Stdout, `Usage: %s [flags]

Each setting is a flag, a variable and a key of the YAML file: --log-level, LITTLEVOTE_LOG_LEVEL, log.level. Flags win over
variables, variables over the file. The key stands in brackets. LITTLEVOTE_LOG_LEVEL_FILE names a file with the value instead,
for secrets.

%s`, p.Name, flags.FlagUsages())
	return exitOK
}
