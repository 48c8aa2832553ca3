package service

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"
)

// framing is what may stand around a message of full size in a request.
const framing = 1 << 10

// readLimits bound a message, before and after decompression, and what decompressing it may cost.
func readLimits() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithReadMaxBytes(readLimit),
		connect.WithCompression("gzip",
			func() connect.Decompressor { return &boundedGzip{} },
			func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
	)
}

// errBomb ends the decompression of a message that is too large.
var errBomb = errors.New("the decompressed message is too large")

// boundedGzip is a gzip reader that stops a little after the limit. Connect by itself would decompress the rest as well, only
// to say how long it was: four megabytes of gzip may be four gigabytes.
type boundedGzip struct {
	gzip.Reader

	left int
}

// Reset is part of connect.Decompressor.
func (b *boundedGzip) Reset(r io.Reader) error {
	b.left = readLimit + 1
	return b.Reader.Reset(r)
}

// Read is part of connect.Decompressor.
func (b *boundedGzip) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBomb
	}
	n, err := b.Reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// limitBody bounds what is read of a request: a unary handler would read all of it, too, to say how long it was.
func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, readLimit+framing)
		next.ServeHTTP(w, r)
	})
}
