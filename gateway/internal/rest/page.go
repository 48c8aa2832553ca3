package rest

import (
	"embed"
	"fmt"
	"net/http"
	"path"
)

//go:embed page
var files embed.FS

// policy lets the page load and call this gateway only.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// mountPage serves the description of the API, for programs and for people.
func mountPage(mux *http.ServeMux) error {
	types := map[string]string{".json": "application/json", ".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
	for at, name := range map[string]string{
		"/api/openapi.json": "openapi.json", "/api/doc": "doc.html", "/api/doc/page.js": "page.js", "/api/doc/page.css": "page.css",
	} {
		text, err := files.ReadFile("page/" + name)
		if err != nil {
			return fmt.Errorf("api: %w", err)
		}
		contentType := types[path.Ext(name)] + "; charset=utf-8"
		mux.HandleFunc("GET "+at, func(w http.ResponseWriter, _ *http.Request) {
			header := w.Header()
			header.Set("Content-Type", contentType)
			header.Set("Content-Security-Policy", policy)
			header.Set("X-Content-Type-Options", "nosniff")
			header.Set("Referrer-Policy", "no-referrer")
			header.Set("X-Frame-Options", "DENY") // for browsers that know no frame-ancestors
			header.Set("Cross-Origin-Opener-Policy", "same-origin")
			header.Set("Cache-Control", "no-cache")
			_, _ = w.Write(text)
		})
	}
	return nil
}
