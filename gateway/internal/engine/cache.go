package engine

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// cache keeps documents by their text, at most max bytes of them, by the SIEVE algorithm: a document that was asked for
// again since the hand last passed stays, so a flood of documents with a literal in each goes through without pushing
// out those in use. A hit takes a read lock and no more.
type cache struct {
	max int // bytes

	mu      sync.RWMutex
	entries map[string]*entry
	queue   *list.List    // of *entry, newest in front
	hand    *list.Element // where the search for a victim goes on, towards the front
	bytes   int
}

type entry struct {
	text     string
	document *Document
	bytes    int
	used     atomic.Bool
}

func newCache(maxBytes int) *cache {
	return &cache{max: maxBytes, entries: make(map[string]*entry), queue: list.New()}
}

// get does not keep text.
func (c *cache) get(text []byte) *Document {
	c.mu.RLock()
	found := c.entries[string(text)]
	c.mu.RUnlock()
	if found == nil {
		return nil
	}
	if !found.used.Load() {
		found.used.Store(true)
	}
	return found.document
}

func (c *cache) put(text string, document *Document, bytes int) {
	if bytes > c.max {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.entries[text]; known {
		return
	}
	for c.bytes+bytes > c.max {
		c.evict()
	}
	added := &entry{text: text, document: document, bytes: bytes}
	c.entries[text] = added
	c.queue.PushFront(added)
	c.bytes += bytes
}

// evict removes the next entry that was not used since the hand passed it. The queue is not empty.
func (c *cache) evict() {
	for {
		if c.hand == nil {
			c.hand = c.queue.Back()
		}
		candidate, _ := c.hand.Value.(*entry)
		next := c.hand.Prev()
		if candidate.used.Swap(false) {
			c.hand = next
			continue
		}
		c.queue.Remove(c.hand)
		c.hand = next
		delete(c.entries, candidate.text)
		c.bytes -= candidate.bytes
		return
	}
}
