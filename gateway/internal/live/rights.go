package live

import (
	"time"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

const (
	// rightsLast is how long a viewer's right is believed before it is looked at again.
	rightsLast = time.Second
	// atOnceAsked bounds the viewers that one call asks about, beside the counts.
	atOnceAsked = 999
)

// rights is who may see a ballot's counts. While somebody unknown may, everybody may, and nobody is asked about.
type rights struct {
	closed  bool // somebody unknown may not
	viewers map[Viewer]*right
}

// right is that of one viewer.
type right struct {
	subs   int // with this viewer
	may    bool
	looked time.Time // zero: never
}

func (r *rights) add(viewer Viewer) {
	known := r.viewers[viewer]
	if known == nil {
		known = &right{}
		r.viewers[viewer] = known
	}
	known.subs++
}

func (r *rights) remove(viewer Viewer) {
	known := r.viewers[viewer]
	if known.subs--; known.subs == 0 {
		delete(r.viewers, viewer)
	}
}

// may reports whether a viewer may see the counts, as far as is known.
func (r *rights) may(viewer Viewer) bool {
	known := r.viewers[viewer]
	return !r.closed || known != nil && known.may
}

// refused reports whether it is known that a viewer may not.
func (r *rights) refused(viewer Viewer) bool {
	known := r.viewers[viewer]
	return r.closed && known != nil && !known.may && !known.looked.IsZero()
}

// learn is told what was answered about a viewer.
func (r *rights) learn(viewer Viewer, may bool, at time.Time) {
	if viewer == (Viewer{}) && may {
		r.closed = false
	}
	if known := r.viewers[viewer]; known != nil {
		known.may, known.looked = may, at
	}
}

// lose is told that the counts could not be seen as a viewer.
func (r *rights) lose(as Viewer, at time.Time) {
	r.closed = true
	r.learn(as, false, at)
}

// unsettled reports whether the next question shall follow at once: somebody waits who was never asked about, or may see
// the counts, which were not asked for.
func (r *rights) unsettled(asked question) bool {
	for _, known := range r.viewers {
		if known.looked.IsZero() || known.may && !asked.counts {
			return true
		}
	}
	return false
}

// question is what one call asks.
type question struct {
	about  []Viewer // who may see
	counts bool     // the counts too …
	as     Viewer   // … as this viewer sees them
}

// question asks about those whose right was not looked at for a while, and for the counts as somebody who may see them.
func (r *rights) question(now time.Time) question {
	if !r.closed {
		return question{counts: true}
	}
	var q question
	look := false
	for viewer, known := range r.viewers {
		if known.may && !q.counts {
			q.counts, q.as = true, viewer
		}
		due := now.Sub(known.looked) >= rightsLast
		look = look || due
		if due && viewer != (Viewer{}) && len(q.about) < atOnceAsked-1 {
			q.about = append(q.about, viewer)
		}
	}
	if look || !q.counts {
		q.about = append(q.about, Viewer{}) // who may see again, once the ballot is closed
	}
	return q
}

func (q question) reads() int {
	if q.counts {
		return len(q.about) + 1
	}
	return len(q.about)
}

func (q question) request(ballot string) *queryv1.GetTalliesRequest {
	request := &queryv1.GetTalliesRequest{Reads: make([]*queryv1.TallyRead, 0, q.reads())}
	for _, viewer := range q.about {
		request.Reads = append(request.Reads, &queryv1.TallyRead{Ballot: ballot, Viewer: viewer.message(), RightsOnly: true})
	}
	if q.counts {
		request.Reads = append(request.Reads, &queryv1.TallyRead{Ballot: ballot, Viewer: q.as.message()})
	}
	return request
}

func (v Viewer) message() *queryv1.Viewer {
	if v == (Viewer{}) {
		return nil
	}
	return &queryv1.Viewer{Voter: v.Voter, Organiser: v.Organiser}
}
