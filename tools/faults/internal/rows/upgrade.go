package rows

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/littlevote/littlevote/tools/internal/system"
)

func upgradeRows() []Row {
	return []Row{{
		Name: "U1", Kind: Change, Title: "every process gives way to one of this version, one after the other, and back to the version before", Silence: degraded,
		Sees: "no error that one retry does not hide", FromBefore: true, Happen: upgrade, Judge: unhelped,
	}}
}

// rollout is the order in which services are updated: whoever reads a new kind of record or call comes before those who write it.
// A roll-back goes the other way.
func rollout() []system.Kind {
	return []system.Kind{system.Persister, system.Vote, system.Query, system.Ticket, system.Blog, system.Gateway}
}

// upgrade finds the tables of this version already: migrations come first, and programs of the version before must live with them.
func upgrade(r *Run) {
	r.Note("from %s", r.before.Name)
	order := rollout()
	r.replace(order, r.programs)
	r.AwaitMore(warm)
	slices.Reverse(order)
	r.replace(order, r.before.Dir)
}

// replace stops every process in turn and starts it from other programs, with votes under way between any two.
func (r *Run) replace(order []system.Kind, programs string) {
	for _, kind := range order {
		for _, s := range r.System.Services(kind) {
			was := r.version(s)
			began := time.Now()
			s.Stop(r) // fails the run if it takes longer or does not end well
			if took := time.Since(began); took > drainLimit {
				r.Errorf("%s took %v to stop", s.ID(), took)
			}
			s.From = programs
			r.Restart(s)
			if now := r.version(s); now == was {
				r.Errorf("%s is of version %q, as before", s.ID(), now)
			}
			r.AwaitMore(10)
		}
	}
}

// version is what a process says on its admin port; empty for those who do not say.
func (r *Run) version(s *system.Service) string {
	resp, err := http.Get("http://" + s.Admin + "/readyz")
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct{ Version string }
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		r.Fatal(fmt.Errorf("readiness of %s: %w", s.ID(), err))
	}
	return said.Version
}
