package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestCacheKeepsWithinItsBytes(t *testing.T) {
	c := newCache(1000)
	for i := range 100 {
		text := fmt.Sprint(i)
		c.put(text, &Document{text: text}, 90)
		if c.bytes > c.max || len(c.entries) != c.queue.Len() {
			t.Fatalf("%d bytes, %d entries, %d in the queue", c.bytes, len(c.entries), c.queue.Len())
		}
		if got := c.get([]byte(text)); got == nil || got.text != text {
			t.Fatalf("%s is not there: %v", text, got)
		}
	}
	c.put("huge", &Document{}, 1001)
	if c.get([]byte("huge")) != nil {
		t.Error("kept what is larger than the whole cache")
	}
	c.put("99", &Document{text: "other"}, 90)
	if got := c.get([]byte("99")); got.text != "99" {
		t.Error("a second put replaced the first")
	}
}

// Documents in use stay, however many that are used once go through.
func TestAFloodDoesNotPushOutWhatIsUsed(t *testing.T) {
	c := newCache(100)
	for i := range 20 {
		c.put(fmt.Sprintf("hot %d", i), &Document{}, 1)
	}
	missing := 0
	for i := range 10_000 {
		c.put(fmt.Sprintf("once %d", i), &Document{}, 1)
		hot := fmt.Sprintf("hot %d", i%20)
		if c.get([]byte(hot)) == nil {
			missing++
			c.put(hot, &Document{}, 1)
		}
	}
	if missing > 20 {
		t.Errorf("a document in use was missing %d times", missing)
	}
}

func TestCacheOfNothing(t *testing.T) {
	c := newCache(0)
	c.put("a", &Document{}, 1)
	if c.get([]byte("a")) != nil {
		t.Error("kept something")
	}
}

func TestCacheByRandomUse(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	c := newCache(500)
	for range 20_000 {
		text := fmt.Sprint(random.IntN(60))
		if got := c.get([]byte(text)); got != nil && got.text != text {
			t.Fatalf("asked for %s, got %s", text, got.text)
		}
		c.put(text, &Document{text: text}, 1+random.IntN(50))
		sum := 0
		for _, kept := range c.entries {
			sum += kept.bytes
		}
		if sum != c.bytes || sum > c.max {
			t.Fatalf("%d bytes, counted %d", sum, c.bytes)
		}
	}
}
