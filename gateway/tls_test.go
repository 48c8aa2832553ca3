package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/littlevote/littlevote/libs/authority"
	"github.com/littlevote/littlevote/libs/testenv"
)

// certificate writes one for this machine into files, and returns the pool with its CA.
func certificate(t *testing.T, ca *authority.Authority, files TLS) {
	t.Helper()
	cert, key, err := ca.Issue(authority.Request{Name: "gateway", Hosts: []string{"127.0.0.1", "localhost"}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{files.CertFile: cert, files.KeyFile: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func newAuthority(t *testing.T) (*authority.Authority, *x509.CertPool) {
	t.Helper()
	ca, err := authority.New("test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.Cert())
	return ca, pool
}

// secure is a client that trusts a pool, by HTTP/2 or HTTP/1.1, on a new connection each time.
func secure(pool *x509.CertPool, two bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetHTTP2(two)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, Protocols: protocols, DisableKeepAlives: true,
	}}
}

// reply is an answer that was read to its end.
type reply struct {
	status   int
	header   http.Header
	protocol int    // major version of HTTP
	chosen   string // by ALPN
	text     string
}

func postTo(client *http.Client, url, body string) (reply, error) {
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	got := reply{status: response.StatusCode, header: response.Header, protocol: response.ProtoMajor, text: string(text)}
	if response.TLS != nil {
		got.chosen = response.TLS.NegotiatedProtocol
	}
	return got, err
}

func TestTLSAtEveryPort(t *testing.T) {
	cfg := newServices(t).config(t)
	ca, pool := newAuthority(t)
	dir := t.TempDir()
	cfg.Gateway.TLS = TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	certificate(t, ca, cfg.Gateway.TLS)
	cfg.Gateway.CastListen, cfg.Gateway.TinyListen = "127.0.0.1:0", "127.0.0.1:0"
	gateway := start(t, cfg)
	if gateway.Scheme() != "https" {
		t.Error(gateway.Scheme())
	}
	addresses := gateway.DialectAddrs()
	urls := []string{"https://" + gateway.Addr() + "/graphql", "https://" + addresses["cast"] + "/graphql", "https://" + addresses["tiny"] + "/graphql"}
	for _, url := range urls {
		for _, two := range []bool{false, true} {
			got, err := postTo(secure(pool, two), url, `{"query":"{__typename}"}`)
			if err != nil || got.status != http.StatusOK || strings.Contains(got.text, "errors") {
				t.Fatalf("%s: %v %s", url, err, got.text)
			}
			if (got.protocol == 2) != two || got.chosen == "" && two {
				t.Errorf("%s: HTTP/%d, %q", url, got.protocol, got.chosen)
			}
			if got.header.Get("Strict-Transport-Security") != "max-age=31536000" {
				t.Errorf("%s: %v", url, got.header)
			}
		}
		old := secure(pool, false)
		old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
		old.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS10
		if _, err := postTo(old, url, `{}`); err == nil {
			t.Errorf("%s: TLS 1.1 is spoken", url)
		}
		got, err := postTo(http.DefaultClient, "http"+strings.TrimPrefix(url, "https"), `{"query":"{__typename}"}`)
		if err == nil && got.status != http.StatusBadRequest {
			t.Errorf("%s without TLS: %d %s", url, got.status, got.text)
		}
	}
	page, err := secure(pool, true).Get("https://" + gateway.Addr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if text, _ := io.ReadAll(page.Body); !bytes.Contains(text, []byte("https://"+gateway.Addr())) {
		t.Errorf("the page names an address without TLS: %s", text)
	}
}

func TestWebSocketsAndStreamsByTLS(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	ca, pool := newAuthority(t)
	dir := t.TempDir()
	cfg.Gateway.TLS = TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	certificate(t, ca, cfg.Gateway.TLS)
	gateway := start(t, cfg)
	url := "https://" + gateway.Addr() + "/graphql"
	options := &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPClient: secure(pool, false)}
	conn, _, err := websocket.Dial(t.Context(), url, options) //nolint:bodyclose // the library says that there is nothing to close
	if err != nil {
		t.Fatal(err)
	}
	c := &socket{t: t, conn: conn}
	c.send(`{"type":"connection_init"}`)
	c.receive()
	c.send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { tally { seq } }"}}`)
	if got := c.receive(); got.Type != "next" {
		t.Errorf("%+v", got)
	}
	// Event streams share a connection of HTTP/2 with other requests.
	client := secure(pool, true)
	client.Transport.(*http.Transport).DisableKeepAlives = false
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(`{"query":"subscription { tally { seq } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, len("event: next"))
	if _, err := io.ReadFull(response.Body, first); err != nil || response.ProtoMajor != 2 || string(first) != "event: next" {
		t.Errorf("%s %q %v", response.Proto, first, err)
	}
	if got, err := postTo(client, url, `{"query":"{__typename}"}`); err != nil || !strings.Contains(got.text, "Query") {
		t.Errorf("%s %v", got.text, err)
	}
}

// A new certificate counts for connections made from then on; one that can't be used does not, and is told.
func TestANewCertificateWithoutARestart(t *testing.T) {
	cfg := newServices(t).config(t)
	before, oldPool := newAuthority(t)
	after, newPool := newAuthority(t)
	dir := t.TempDir()
	cfg.Gateway.TLS = TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	certificate(t, before, cfg.Gateway.TLS)
	gateway := start(t, cfg)
	url := "https://" + gateway.Addr() + "/graphql"
	kept := secure(oldPool, true)
	kept.Transport.(*http.Transport).DisableKeepAlives = false
	if _, err := postTo(kept, url, typename); err != nil {
		t.Fatal(err)
	}
	certificate(t, after, cfg.Gateway.TLS)
	testenv.Eventually(t, 20*time.Second, func() error {
		_, err := postTo(secure(newPool, false), url, typename)
		return err
	})
	if _, err := postTo(secure(oldPool, false), url, typename); err == nil {
		t.Error("the old certificate is still shown")
	}
	if _, err := postTo(kept, url, typename); err != nil {
		t.Errorf("a connection from before is gone: %v", err)
	}
	if err := os.WriteFile(cfg.Gateway.TLS.KeyFile, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if gateway.entrance.certs.Problem() == "" {
			return fmt.Errorf("nobody says that the files can't be used")
		}
		return nil
	})
	if _, err := postTo(secure(newPool, false), url, typename); err != nil {
		t.Error(err)
	}
}

func TestCertificatesThatAreNone(t *testing.T) {
	cfg := newServices(t).config(t)
	dir := t.TempDir()
	cfg.Gateway.TLS = TLS{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	if _, err := New(t.Context(), cfg, testHost(t)); err == nil || !strings.Contains(err.Error(), "gateway.tls.cert-file") {
		t.Error(err)
	}
	for _, file := range []string{cfg.Gateway.TLS.CertFile, cfg.Gateway.TLS.KeyFile} {
		if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := New(t.Context(), cfg, testHost(t)); err == nil || !strings.Contains(err.Error(), "gateway.tls.cert-file") {
		t.Error(err)
	}
}
