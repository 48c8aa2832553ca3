// Package playground serves the pages for people: / tells what this is, /playground is GraphiQL on the gateway's
// endpoint, /live shows the counts of a ballot as they change. Everything is embedded, so they work without the internet, and the policy of the pages forbids to load
// anything from elsewhere.
//
// assets/ is made by build.sh from the npm packages that package-lock.json pins; assets/licenses.txt.gz holds their
// licences, and is served beside them.
package playground

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"path"
	"strings"
)

// Path is where the playground is.
const Path = "/playground"

// LivePath is where the live counts are.
const LivePath = "/live"

//go:embed assets/*.gz pages
var files embed.FS

// policy lets the pages load and call this gateway only. GraphiQL's editor writes styles into its elements, and its
// style sheet holds fonts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Mount adds the pages to a mux. The endpoint is the path of GraphQL.
func Mount(mux *http.ServeMux, endpoint string) error {
	for _, name := range []string{"react.js", "react-dom.js", "graphiql.js", "graphiql.css", "licenses.txt"} {
		packed, err := files.ReadFile("assets/" + name + ".gz")
		if err != nil {
			return fmt.Errorf("playground: %w", err)
		}
		mux.Handle(Path+"/"+name, newAsset(name, packed))
	}
	for _, name := range []string{"page.js", "live.js", "page.css"} {
		plain, err := files.ReadFile("pages/" + name)
		if err != nil {
			return fmt.Errorf("playground: %w", err)
		}
		mux.Handle(Path+"/"+name, newAsset(name, pack(plain)))
	}
	pages, err := template.ParseFS(files, "pages/*.html")
	if err != nil {
		return fmt.Errorf("playground: %w", err)
	}
	mux.Handle("/{$}", page{pages.Lookup("index.html"), endpoint})
	mux.Handle(LivePath, page{pages.Lookup("live.html"), endpoint})
	mux.Handle(Path, page{pages.Lookup("playground.html"), endpoint})
	return nil
}

// pack never fails: it writes to memory.
func pack(plain []byte) []byte {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(plain)
	_ = writer.Close()
	return packed.Bytes()
}

// asset is one file, kept compressed.
type asset struct {
	packed      []byte
	contentType string
	tag         string
}

func newAsset(name string, packed []byte) *asset {
	types := map[string]string{".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
	sum := sha256.Sum256(packed)
	return &asset{
		packed:      packed,
		contentType: types[path.Ext(name)] + "; charset=utf-8",
		tag:         `"` + hex.EncodeToString(sum[:8]) + `"`,
	}
}

func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	header := w.Header()
	header.Set("ETag", a.tag)
	header.Set("Cache-Control", "public, max-age=3600")
	header.Set("Vary", "Accept-Encoding")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", a.contentType)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		_, _ = w.Write(a.packed)
		return
	}
	plain, err := gzip.NewReader(bytes.NewReader(a.packed))
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	_, _ = io.Copy(w, plain) //nolint:gosec // what is unpacked is our own
}

// page is one HTML page.
type page struct {
	template *template.Template
	endpoint string
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	var text bytes.Buffer
	if err := p.template.Execute(&text, map[string]string{"Endpoint": p.endpoint, "Base": "http://" + r.Host}); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(text.Bytes())
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "use GET", http.StatusMethodNotAllowed)
	return false
}
