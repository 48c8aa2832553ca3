// Package servicetest tries who may call what.
package servicetest

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
)

// CA issues certificates for one test.
type CA struct {
	*authority.Authority

	dir string
}

// NewCA makes one.
func NewCA(t testing.TB) *CA {
	t.Helper()
	made, err := authority.New("CA of a test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ca := &CA{Authority: made, dir: t.TempDir()}
	ca.write(t, "ca.pem", made.Cert())
	return ca
}

// Issue makes the files of a process of a kind on 127.0.0.1. They are the same files for the same kind: a later call renews them.
func (c *CA) Issue(t testing.TB, kind service.Kind) config.TLS {
	t.Helper()
	cert, key, err := c.Authority.Issue(authority.Request{
		Name: string(kind), URIs: []*url.URL{kind.URI()}, Hosts: []string{"127.0.0.1", "localhost"}, Life: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return config.TLS{
		CertFile: c.write(t, string(kind)+".pem", cert), KeyFile: c.write(t, string(kind)+".key", key), CAFile: filepath.Join(c.dir, "ca.pem"),
	}
}

func (c *CA) write(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stranger is a kind that there is not.
const stranger service.Kind = "stranger"

// Callers calls every procedure that the descriptors of the mounted services have, as every kind and as a stranger, and returns
// who gets through, by service and procedure ("VoteService/CastVotes"). The handlers must be the generated Unimplemented ones.
func Callers(t *testing.T, mounts []service.Mount) map[string][]service.Kind {
	t.Helper()
	ca := NewCA(t)
	server, err := service.NewRPC("127.0.0.1:0", open(t, ca.Issue(t, service.Operator)), service.NewHealth(), mounts...)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	through := map[string][]service.Kind{}
	for _, kind := range append(service.Kinds(), stranger) {
		conn, err := service.Dial(server.Addr(), open(t, ca.Issue(t, kind)))
		if err != nil {
			t.Fatal(err)
		}
		for _, procedure := range procedures(t, mounts) {
			name := short(procedure)
			err := conn.Invoke(t.Context(), procedure, &emptypb.Empty{}, &emptypb.Empty{})
			switch status.Code(err) {
			case codes.Unimplemented:
				through[name] = append(through[name], kind)
			case codes.PermissionDenied:
			default:
				t.Errorf("%s as %s: %v", procedure, kind, err)
			}
		}
		_ = conn.Close()
	}
	for _, procedure := range procedures(t, mounts) {
		if len(through[short(procedure)]) == 0 {
			t.Errorf("nobody may call %s: it has no rule", procedure)
		}
	}
	return through
}

// short is a procedure without its package.
func short(procedure string) string { return procedure[strings.LastIndex(procedure, ".")+1:] }

// procedures are all of the services, as gRPC names them.
func procedures(t *testing.T, mounts []service.Mount) []string {
	t.Helper()
	var all []string
	for _, mount := range mounts {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(mount.Name))
		if err != nil {
			t.Fatal(err)
		}
		described, ok := found.(protoreflect.ServiceDescriptor)
		if !ok {
			t.Fatalf("%s is no service", mount.Name)
		}
		for i := range described.Methods().Len() {
			all = append(all, mount.Path+string(described.Methods().Get(i).Name()))
		}
	}
	return all
}

func open(t *testing.T, files config.TLS) *service.TLS {
	t.Helper()
	secure, err := service.ClientTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return secure
}
