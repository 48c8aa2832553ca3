package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	fetchTimeout = 4 * time.Second
	maxDocument  = 1 << 20 // bytes
	// fresh is how long an answer is not asked for again: a token with a key id that nobody knows makes go-oidc look, and anybody
	// can make such tokens. So a new key is known after as long.
	fresh = 5 * time.Second
	// calm is the same for a failure.
	calm = time.Second
)

// fetcher is how an issuer's documents are had: each at most once in a while, and once for all who want it.
type fetcher struct {
	base    http.RoundTripper
	now     func() time.Time
	group   singleflight.Group
	failing atomic.Bool // the latest fetch was one

	mu    sync.Mutex
	known map[string]document // by URL: an issuer has two
}

// document is what was fetched, or why it was not.
type document struct {
	at     time.Time
	header http.Header
	body   []byte
	err    error
}

func newFetcher(now func() time.Time) *fetcher {
	return &fetcher{base: http.DefaultTransport, now: now, known: make(map[string]document)}
}

// RoundTrip is part of http.RoundTripper.
func (f *fetcher) RoundTrip(r *http.Request) (*http.Response, error) {
	url := r.URL.String()
	if known, ok := f.recent(url); ok {
		return known.response(r)
	}
	fetched := f.group.DoChan(url, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), fetchTimeout)
		defer cancel()
		return f.fetch(r.Clone(ctx)), nil
	})
	select {
	case result := <-fetched:
		got, _ := result.Val.(document)
		return got.response(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (f *fetcher) recent(url string) (document, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.known[url]
	keep := fresh
	if known.err != nil {
		keep = calm
	}
	return known, ok && f.now().Sub(known.at) < keep
}

func (f *fetcher) fetch(r *http.Request) document {
	got := document{}
	got.header, got.body, got.err = f.get(r)
	got.at = f.now()
	f.failing.Store(got.err != nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[r.URL.String()] = got
	return got
}

func (f *fetcher) get(r *http.Request) (http.Header, []byte, error) {
	response, err := f.base.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answers %s", r.URL.Redacted(), response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	if err == nil && !json.Valid(body) {
		err = errors.New(r.URL.Redacted() + " answers no JSON document of at most 1 MiB")
	}
	return response.Header, body, err
}

func (d document) response(r *http.Request) (*http.Response, error) {
	if d.err != nil {
		return nil, d.err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: d.header.Clone(), Body: io.NopCloser(bytes.NewReader(d.body)), ContentLength: int64(len(d.body)), Request: r,
	}, nil
}
