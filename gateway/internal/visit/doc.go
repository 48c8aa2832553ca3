// Package visit knows where a request comes from, and lets the answer to it begin or end a browser's session. A request
// that wants neither pays for neither: the address is kept once a connection, and looked at only when it is asked for.
package visit
