package observability

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// collector is the configuration of an OpenTelemetry Collector, as far as ours goes: a key that is not here, by its
// documentation, is one that it would refuse.
type collector struct {
	Extensions struct {
		HealthCheck struct {
			Endpoint string `json:"endpoint"`
		} `json:"health_check"`
	} `json:"extensions"`
	Receivers struct {
		OTLP struct {
			Protocols struct {
				GRPC struct {
					Endpoint string `json:"endpoint"`
					MaxRecv  int    `json:"max_recv_msg_size_mib"`
				} `json:"grpc"`
			} `json:"protocols"`
		} `json:"otlp"`
	} `json:"receivers"`
	Processors struct {
		MemoryLimiter struct {
			CheckInterval string `json:"check_interval"`
			Limit         int    `json:"limit_percentage"`
			Spike         int    `json:"spike_limit_percentage"`
		} `json:"memory_limiter"`
		TailSampling tailSampling `json:"tail_sampling"`
		Batch        struct {
			Size    int    `json:"send_batch_size"`
			MaxSize int    `json:"send_batch_max_size"`
			Timeout string `json:"timeout"`
		} `json:"batch"`
	} `json:"processors"`
	Exporters map[string]struct {
		Endpoint string `json:"endpoint"`
		TLS      struct {
			Insecure bool `json:"insecure"`
		} `json:"tls"`
		Retry struct {
			Enabled bool   `json:"enabled"`
			Longest string `json:"max_elapsed_time"`
		} `json:"retry_on_failure"`
		Queue struct {
			Enabled bool `json:"enabled"`
			Size    int  `json:"queue_size"`
		} `json:"sending_queue"`
	} `json:"exporters"`
	Service struct {
		Extensions []string `json:"extensions"`
		Pipelines  map[string]struct {
			Receivers  []string `json:"receivers"`
			Processors []string `json:"processors"`
			Exporters  []string `json:"exporters"`
		} `json:"pipelines"`
		Telemetry struct {
			Logs struct {
				Level string `json:"level"`
			} `json:"logs"`
			Metrics struct {
				Readers []struct {
					Pull struct {
						Exporter struct {
							Prometheus struct {
								Host string `json:"host"`
								Port int    `json:"port"`
							} `json:"prometheus"`
						} `json:"exporter"`
					} `json:"pull"`
				} `json:"readers"`
			} `json:"metrics"`
		} `json:"telemetry"`
	} `json:"service"`
}

type tailSampling struct {
	DecisionWait string `json:"decision_wait"`
	NumTraces    int    `json:"num_traces"`
	Expected     int    `json:"expected_new_traces_per_sec"`
	Cache        struct {
		Sampled    int `json:"sampled_cache_size"`
		NonSampled int `json:"non_sampled_cache_size"`
	} `json:"decision_cache"`
	Policies []struct {
		Name       string `json:"name"`
		Type       string `json:"type"`
		StatusCode *struct {
			Codes []string `json:"status_codes"`
		} `json:"status_code"`
		Latency *struct {
			Threshold int `json:"threshold_ms"`
		} `json:"latency"`
		Text *struct {
			Key    string   `json:"key"`
			Values []string `json:"values"`
		} `json:"string_attribute"`
		Number *struct {
			Key string `json:"key"`
			Min int    `json:"min_value"`
			Max int    `json:"max_value"`
		} `json:"numeric_attribute"`
		Probabilistic *struct {
			Percentage float64 `json:"sampling_percentage"`
		} `json:"probabilistic"`
	} `json:"policies"`
}

// The collector keeps what failed and what was slow, whatever the ratio, and every part of its pipeline is configured.
func TestCollector(t *testing.T) {
	var c collector
	read(t, "collector.yaml", &c)
	traces, ok := c.Service.Pipelines["traces"]
	if !ok || len(c.Service.Pipelines) != 1 {
		t.Fatalf("pipelines %v", c.Service.Pipelines)
	}
	// The limiter stands first, or it limits too late; batches come last, or what is sampled stands in none.
	if diff := cmp.Diff([]string{"memory_limiter", "tail_sampling", "batch"}, traces.Processors); diff != "" {
		t.Errorf("processors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(c.Exporters)), traces.Exporters); diff != "" {
		t.Errorf("exporters (-configured +used):\n%s", diff)
	}
	if !slices.Equal(traces.Receivers, []string{"otlp"}) || !slices.Equal(c.Service.Extensions, []string{"health_check"}) {
		t.Errorf("%+v", c.Service)
	}
	kinds := map[string]bool{}
	for _, p := range c.Processors.TailSampling.Policies {
		kinds[p.Type] = true
		has := map[string]bool{
			"status_code": p.StatusCode != nil && slices.Equal(p.StatusCode.Codes, []string{"ERROR"}),
			"latency":     p.Latency != nil && p.Latency.Threshold > 0, "string_attribute": p.Text != nil && p.Text.Key != "",
			"numeric_attribute": p.Number != nil && p.Number.Key != "", "probabilistic": p.Probabilistic != nil && p.Probabilistic.Percentage <= 100,
		}
		if !has[p.Type] {
			t.Errorf("policy %s is of type %s, whose settings it lacks", p.Name, p.Type)
		}
	}
	if !kinds["status_code"] || !kinds["latency"] || !kinds["probabilistic"] {
		t.Errorf("policies: %v", kinds)
	}
}
