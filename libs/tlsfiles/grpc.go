package tlsfiles

import (
	"context"
	"net"

	"google.golang.org/grpc/credentials"
)

// Credentials are for the clients of gRPC.
func (f *Files) Credentials() credentials.TransportCredentials {
	return renewed{TransportCredentials: credentials.NewTLS(f.Client(context.Background())), files: f}
}

// renewed makes each connection with what the files say by then.
type renewed struct {
	credentials.TransportCredentials

	files *Files
}

// ClientHandshake is part of credentials.TransportCredentials.
func (r renewed) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(r.files.Client(ctx)).ClientHandshake(ctx, authority, conn)
}

// Clone is part of credentials.TransportCredentials.
func (r renewed) Clone() credentials.TransportCredentials {
	return renewed{TransportCredentials: r.TransportCredentials.Clone(), files: r.files}
}
