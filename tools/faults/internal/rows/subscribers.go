package rows

import (
	"fmt"
	"maps"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// frozenGrowth is how much more memory a gateway may have while a subscriber does not read.
const frozenGrowth = 32 << 20

// buffered is how many updates may stand between a gateway and a subscriber that does not read: the kernel takes them. By runs on a
// machine that was too busy to make more of them, it was up to 49.
const buffered = 60

// frozenSubscriber lets one of several subscribers stop reading, and then kills a gateway.
func frozenSubscriber(r *Run) {
	r.Watch = load.Watch(r, r.System.Gateways)
	r.Watch.Await(r, flowPatience)
	all := r.Watch.All()
	slow := r.Random.IntN(len(all))
	healthy := all[(slow+1)%len(all)]
	memory := r.gatewayMemory()
	letGo := all[slow].Freeze()
	before, slowBefore := healthy.Updates(), all[slow].Updates()
	r.Hold(r.Between(6*time.Second, 12*time.Second))
	missed, newest := healthy.Updates()-before, healthy.Seq()
	for i, now := range r.gatewayMemory() {
		if grew := now - memory[i]; grew > frozenGrowth {
			r.Errorf("gateway %d has %d MiB more while a subscriber does not read", i, grew>>20)
		}
	}
	letGo()
	scope.Eventually(r, convergence, func() error {
		if all[slow].Seq() < newest {
			return fmt.Errorf("the slow subscriber %s is at %d, others were at %d", all[slow], all[slow].Seq(), newest)
		}
		return nil
	})
	got := all[slow].Updates() - slowBefore
	r.Note("a frozen subscriber %s got %d updates where others had %d", all[slow], got, missed)
	if got > max(buffered, missed/2+10) {
		r.Errorf("the slow subscriber got %d updates and not the newest only: others had %d", got, missed)
	}
	r.Strike()
	r.kill(r.One(system.Gateway))
	r.Watch.Await(r, flowPatience)
}

func (r *Run) gatewayMemory() []int64 {
	var all []int64
	for _, s := range r.System.Services(system.Gateway) {
		bytes, err := resident(s.PID())
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, bytes)
	}
	return all
}

// subscribersKnow holds what subscribers know at the end against the ledger.
func subscribersKnow(r *Run) {
	truth := map[string]int64{}
	for _, row := range r.ledger.Rows {
		if row.Ballot == "main" {
			truth[row.Username] += row.Delta
		}
	}
	connections := 0
	for _, w := range r.Watch.All() {
		scope.Eventually(r, convergence, func() error {
			known := w.Counts()
			maps.DeleteFunc(known, func(_ string, votes int64) bool { return votes == 0 })
			if !maps.Equal(known, truth) {
				return fmt.Errorf("subscriber %s knows %v, the ledger has %v", w, known, truth)
			}
			return nil
		})
		for _, wrong := range w.Wrong() {
			r.Errorf("%s", wrong)
		}
		connections += w.Connections()
	}
	if connections <= len(r.Watch.All()) {
		r.Errorf("no subscriber had to connect again")
	}
	r.Note("%d connections", connections)
}
