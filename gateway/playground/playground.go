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

// strict lets a page load and call this gateway only: no script and no style within the page, no frame around it.
const strict = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// editor is the policy of GraphiQL. Its style sheet holds fonts, and its dialogs write one style into the page, by its hash: it keeps
// what stands behind from scrolling.
const editor = "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-Y/huXlwoYkVyQlxwSVcCi1RCDGDCSVBzDt0hYP9qlTc='; " +
	"font-src 'self' data:; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

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
	mux.Handle("/{$}", page{pages.Lookup("index.html"), endpoint, strict})
	mux.Handle(LivePath, page{pages.Lookup("live.html"), endpoint, strict})
	mux.Handle(Path, page{pages.Lookup("playground.html"), endpoint, editor})
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
	secure(header)
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
	policy   string
}

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	var text bytes.Buffer
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if err := p.template.Execute(&text, map[string]string{"Endpoint": p.endpoint, "Base": scheme + r.Host}); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", p.policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	secure(header)
	_, _ = w.Write(text.Bytes())
}

// secure keeps browsers from reading a file as something else, and from giving it to pages of other sites.
func secure(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "use GET", http.StatusMethodNotAllowed)
	return false
}
