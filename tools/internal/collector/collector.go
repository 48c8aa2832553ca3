// Package collector is a collector of traces for tests: it takes whatever is sent by OTLP over gRPC, and keeps it as it came.
package collector

import (
	"bytes"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // what senders compress with
	"google.golang.org/grpc/mem"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

// Collector is one that runs.
type Collector struct {
	URL string

	server   *grpc.Server
	mu       sync.Mutex
	received bytes.Buffer
}

// Start starts one for as long as the scope goes on; port 0 is a free one.
func Start(t scope.Scope, address string) *Collector {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{URL: "http://" + l.Addr().String()}
	c.server = grpc.NewServer(grpc.ForceServerCodecV2(asItCame{}), grpc.UnknownServiceHandler(c.take))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.server.Serve(l) // it ends with Stop
	}()
	t.Cleanup(func() {
		c.Stop()
		<-done
	})
	return c
}

// Stop takes it away.
func (c *Collector) Stop() { c.server.Stop() }

func (c *Collector) take(_ any, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	c.mu.Lock()
	c.received.Write(message)
	c.mu.Unlock()
	return stream.SendMsg(new([]byte)) // an empty message: everything was taken
}

// Received is all that has come so far.
func (c *Collector) Received() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.received.String()
}

// asItCame leaves messages as they are.
type asItCame struct{}

var _ encoding.CodecV2 = asItCame{}

// Name is part of encoding.CodecV2: senders call it that.
func (asItCame) Name() string { return "proto" }

// Marshal is part of encoding.CodecV2.
func (asItCame) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal is part of encoding.CodecV2.
func (asItCame) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
