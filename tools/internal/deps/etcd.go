package deps

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

type etcdServer struct{ *site }

func (etcdServer) ports() []string { return []string{client, "peer"} }

func (e etcdServer) command(context.Context) (*exec.Cmd, error) {
	clients, peers := "http://"+e.at(Etcd, client), "http://"+e.at(Etcd, "peer")
	cmd := exec.Command("etcd",
		"--name=littlevote", "--data-dir="+filepath.Join(e.home(Etcd), "data"),
		"--listen-client-urls="+clients, "--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=littlevote="+peers)
	// Without ETCD_ variables of ours, which would be settings as well. Debian's etcd wants to be told that its
	// processor is untried.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "ETCD_UNSUPPORTED_ARCH=" + runtime.GOARCH}
	return cmd, nil
}

func (e etcdServer) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.at(Etcd, client)+"/health", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("its health is %s", response.Status)
	}
	return nil
}

func (e etcdServer) address() (string, error) { return e.at(Etcd, client), nil }

func (etcdServer) stopSignal() syscall.Signal { return syscall.SIGTERM }
