package blogservice_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/littlevote/littlevote/libs/testenv"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
)

// Each stage of a call is a span: what the caches had, the fetch that it shared with others, and the stores. Nobody's name, password,
// session or address is in any of them.
func TestStagesOfACallInATrace(t *testing.T) {
	w := unlimited(newWorld(t, testenv.Redis(t)))
	one := w.start()
	alice := w.register(one, "alice")
	const title, address = "her title", "203.0.113.7"
	post := w.post(one, alice, title)
	session, err := one.Login(t.Context(), &blogv1.LoginRequest{Tenant: w.tenant, Name: "alice", Password: password, Address: address})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.CheckSession(t.Context(), &blogv1.CheckSessionRequest{Token: session.GetToken()}); err != nil {
		t.Fatal(err)
	}
	login := one.span(t, "littlevote.blog.v1.AccountService/Login", nil)
	one.span(t, "hash password", login)
	one.span(t, "redis GET, PTTL", one.span(t, "littlevote.blog.v1.AccountService/CheckSession", nil))

	other := w.start() // has read nothing yet
	for _, reading := range []struct {
		fresh bool
		level string
	}{{false, "littlevote.cache.redis"}, {true, "littlevote.cache.postgres"}} {
		other.spans.Reset()
		if reading.fresh {
			if n, err := w.rdb.Del(t.Context(), "blog:post:"+w.tenant+":"+post.GetId()).Result(); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		w.read(other, post.GetId(), "")
		read := other.span(t, "read post", other.span(t, "littlevote.blog.v1.PostService/GetPosts", nil))
		if text := fmt.Sprint(read.Attributes()); !strings.Contains(text, fmt.Sprintf("{%q:1}", reading.level)) {
			t.Errorf("the read: %s", text)
		}
		if reading.fresh {
			fetch := other.span(t, "fetch post", nil)
			if len(fetch.Links()) != 1 || fetch.Links()[0].SpanContext.SpanID() != read.SpanContext().SpanID() ||
				len(read.Links()) != 1 || !read.Links()[0].SpanContext.Equal(fetch.SpanContext()) {
				t.Errorf("the fetch and the read are not linked: %v, %v", fetch.Links(), read.Links())
			}
		}
	}

	for _, span := range append(one.spans.Ended(), other.spans.Ended()...) {
		text := fmt.Sprint(span.Name(), span.Attributes(), span.Events(), span.Status())
		for _, secret := range []string{"alice", password, title, address, session.GetToken(), strings.TrimPrefix(session.GetToken(), "lvs_"), post.GetId()} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s: %s", span.Name(), secret, text)
			}
		}
	}
}

// span waits for a span of a name to end, below a parent if there is one.
func (i *instance) span(t *testing.T, name string, parent sdk.ReadOnlySpan) sdk.ReadOnlySpan {
	t.Helper()
	var found sdk.ReadOnlySpan
	testenv.Eventually(t, 20*time.Second, func() error {
		var names []string
		for _, span := range i.spans.Ended() {
			if span.Name() == name && (parent == nil || span.Parent().SpanID() == parent.SpanContext().SpanID()) {
				found = span
				return nil
			}
			names = append(names, span.Name())
		}
		return fmt.Errorf("no span %q among %q", name, names)
	})
	return found
}
