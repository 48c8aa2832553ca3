package report

import (
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/load"
)

// Report is everything.
type Report struct {
	Date       time.Time   `json:"date"`
	Command    string      `json:"command"`
	Machine    Machine     `json:"machine"`
	Settings   Settings    `json:"settings"`
	Operations []Operation `json:"operations"`
	// Verified says that every check of every operation agreed, and that there was one if votes were sent.
	Verified    bool     `json:"verified"`
	Interrupted bool     `json:"interrupted"`
	Notes       []string `json:"notes,omitempty"`
}

// Machine is where it ran; the load generator, the floor and the system share it.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Platform  string `json:"platform"`
	Go        string `json:"go"`
}

// Settings is the load.
type Settings struct {
	Target          string  `json:"target,omitempty"`
	Connections     int     `json:"connections"`
	RatePerSecond   float64 `json:"ratePerSecond,omitempty"` // absent in a closed loop
	WarmUpSeconds   float64 `json:"warmUpSeconds"`
	DurationSeconds float64 `json:"durationSeconds"`
	NamesPerVote    int     `json:"namesPerVote"`
}

// Operation is what one operation came to.
type Operation struct {
	Name   string    `json:"name"`
	Floor  *Measured `json:"floor,omitempty"`
	System *Measured `json:"system,omitempty"`
	// Ratio is the system's successes a second over the floor's.
	Ratio        float64       `json:"ratio,omitempty"`
	Verification *Verification `json:"verification,omitempty"`
}

// Measured is one run.
type Measured struct {
	PerSecond     float64          `json:"successesPerSecond"`
	Successes     int64            `json:"successes"`
	WindowSeconds float64          `json:"windowSeconds"`
	LatencyMs     LatencyMs        `json:"latencyMs"` // of the successes
	Refused       map[string]int64 `json:"refused"`
	Failed        map[string]int64 `json:"failed"`
	Unknown       int64            `json:"unknown"`
	Unsent        int64            `json:"unsent"`
	// GeneratorShare is how much of the machine's processor time the load generator took.
	GeneratorShare float64 `json:"generatorShare"`
}

// LatencyMs holds percentiles in milliseconds.
type LatencyMs struct {
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Max     float64 `json:"max"`
	Samples int64   `json:"samples"`
}

// Verification says whether the counts are right after a run that voted.
type Verification struct {
	Acknowledged int64   `json:"acknowledged"` // votes that must count, since the benchmark began
	Unknown      int64   `json:"unknown"`      // votes that may count besides
	Checks       []Check `json:"checks"`
	// LagHighestSeconds is how far Postgres was behind the acknowledgements during the run, at most.
	LagHighestSeconds *float64 `json:"lagHighestSeconds,omitempty"`
}

// Check is one place that counts.
type Check struct {
	Source string `json:"source"`
	Agreed bool   `json:"agreed"`
	// AfterSeconds is how long after the run it agreed, or was given up.
	AfterSeconds float64 `json:"afterSeconds"`
	Problem      string  `json:"problem,omitempty"`
}

// Measure turns a result into figures.
func Measure(result load.Result, cores int) *Measured {
	m := &Measured{
		PerSecond:     result.PerSecond(),
		Successes:     result.Successes,
		WindowSeconds: result.Window.Seconds(),
		LatencyMs: LatencyMs{
			P50: ms(result.Latency.P50), P90: ms(result.Latency.P90), P99: ms(result.Latency.P99),
			P999: ms(result.Latency.P999), Max: ms(result.Latency.Max), Samples: result.Latency.Samples,
		},
		Refused: result.Refused,
		Failed:  result.Failed,
		Unknown: result.Unknown,
		Unsent:  result.Unsent,
	}
	if available := result.Window.Seconds() * float64(cores); available > 0 {
		m.GeneratorShare = result.Processor.Seconds() / available
	}
	return m
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteJSON writes the report as one JSON document.
func (r Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// ThisMachine describes where we run.
func ThisMachine() Machine {
	return Machine{
		Processor: processorName(),
		Cores:     runtime.NumCPU(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
		Go:        runtime.Version(),
	}
}

// processorName is known on Linux only.
func processorName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
