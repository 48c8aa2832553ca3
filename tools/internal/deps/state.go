package deps

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// state is what is known of the servers of a directory. Every change is on the disk before it counts.
type state struct {
	path string

	mu      sync.Mutex
	servers map[string]*record
}

// record is what is known of one server.
type record struct {
	Ports   map[string]int `json:"ports"`             // by purpose
	Process *process       `json:"process,omitempty"` // nil if it was stopped
}

func loadState(path string) (*state, error) {
	s := &state{path: path, servers: map[string]*record{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &s.servers); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// process is the server's running process, or nil.
func (s *state) process(name string) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.servers[name]
	if known == nil || known.Process == nil || !known.Process.alive() {
		return nil
	}
	return known.Process
}

// port is the server's port for a purpose, 0 if it has none yet.
func (s *state) port(name, purpose string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.servers[name]; known != nil {
		return known.Ports[purpose]
	}
	return 0
}

func (s *state) setPort(name, purpose string, port int) error {
	return s.change(name, func(r *record) { r.Ports[purpose] = port })
}

func (s *state) setProcess(name string, p *process) error {
	return s.change(name, func(r *record) { r.Process = p })
}

func (s *state) change(name string, change func(*record)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.servers[name]
	if known == nil {
		known = &record{Ports: map[string]int{}}
		s.servers[name] = known
	}
	change(known)
	text, err := json.MarshalIndent(s.servers, "", "\t")
	if err != nil {
		return err
	}
	// Written aside and renamed, so that a kill leaves the old state or the new one.
	if err := os.WriteFile(s.path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}
