package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/littlevote/littlevote/gateway/internal/strictjson"
)

// maxOperationName bounds what names an operation, in bytes.
const maxOperationName = 256

// request is what GraphQL over HTTP sends.
type request struct {
	query         []byte // valid until the scratch is used again
	operationName string
	variables     map[string]any
	persisted     persisted
	eventsOnly    bool // it takes nothing but an event stream
}

// scratch is memory that requests use one after the other.
type scratch struct {
	body  []byte
	query []byte
	out   []byte

	field  string // what the request asks for, for the observer
	errors bool   // its answer has errors
}

// readGet reads the parameters of the query string.
func readGet(r *http.Request, limit int) (request, *problem) {
	if len(r.URL.RawQuery) > limit {
		return request{}, uriTooLong()
	}
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, badRequest("the query string is malformed")
	}
	for _, values := range parameters {
		if len(values) > 1 {
			return request{}, badRequest("a parameter is given twice")
		}
		if !utf8.ValidString(values[0]) {
			return request{}, badRequest("a parameter is not valid UTF-8")
		}
	}
	read := request{query: []byte(parameters.Get("query")), operationName: parameters.Get("operationName")}
	if len(read.operationName) > maxOperationName {
		return request{}, badRequest("operationName is too long")
	}
	var problem *problem
	if read.variables, problem = objectParameter(parameters.Get("variables"), "variables"); problem != nil {
		return request{}, problem
	}
	extensions, problem := objectParameter(parameters.Get("extensions"), "extensions")
	if problem != nil {
		return request{}, problem
	}
	if read.persisted, problem = readPersisted(extensions); problem != nil {
		return request{}, problem
	}
	return read, read.complete()
}

func objectParameter(text, name string) (map[string]any, *problem) {
	if text == "" {
		return nil, nil
	}
	decoder := strictjson.New([]byte(text))
	object, problem := readObject(decoder, name)
	if problem == nil && decoder.End() != nil {
		return nil, badRequest(name + " is not one JSON object")
	}
	return object, problem
}

// readObject reads an object or null.
func readObject(decoder *strictjson.Decoder, name string) (map[string]any, *problem) {
	if kind := decoder.Kind(); kind != '{' && kind != 'n' {
		return nil, badRequest(name + " must be a JSON object")
	}
	value, err := decoder.Value()
	if err != nil {
		return nil, badRequest(name + ": " + err.Error())
	}
	object, _ := value.(map[string]any)
	return object, nil
}

// readPost reads the body.
func readPost(r *http.Request, limit int, memory *scratch) (request, *problem) {
	if problem := checkContent(r.Header); problem != nil {
		return request{}, problem
	}
	if r.ContentLength > int64(limit) {
		return request{}, tooLarge()
	}
	var problem *problem
	if memory.body, problem = readBody(r.Body, memory.body[:0], limit); problem != nil {
		return request{}, problem
	}
	return parseBody(memory)
}

// checkContent lets only that in which a form can't send.
func checkContent(header http.Header) *problem {
	const message = "the body must be " + typeLegacy + " in UTF-8"
	if encoding := header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return unsupportedType("the body must not be compressed")
	}
	given := header["Content-Type"]
	if len(given) != 1 {
		return unsupportedType(message)
	}
	if given[0] == typeLegacy {
		return nil
	}
	mediaType, parameters, err := mime.ParseMediaType(given[0])
	if err != nil || mediaType != typeLegacy {
		return unsupportedType(message)
	}
	if charset, given := parameters["charset"]; given && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return unsupportedType(message)
	}
	return nil
}

// readBody appends the body to buffer, and stops when it is longer than limit.
func readBody(body io.Reader, buffer []byte, limit int) ([]byte, *problem) {
	const least = 1024
	for {
		if cap(buffer)-len(buffer) < least {
			grown := make([]byte, len(buffer), 2*cap(buffer)+least)
			copy(grown, buffer)
			buffer = grown
		}
		n, err := body.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		switch {
		case len(buffer) > limit:
			return buffer, tooLarge()
		case errors.Is(err, io.EOF):
			return buffer, nil
		case err != nil:
			return buffer, badRequest("the body could not be read to its end")
		}
	}
}

// parseBody reads one JSON object and nothing after it. Names that GraphQL over HTTP does not know are read over.
func parseBody(memory *scratch) (request, *problem) {
	decoder := strictjson.New(memory.body)
	switch decoder.Kind() {
	case '{':
	case '[':
		return request{}, badRequest("batches are not served: send each operation as a request of its own")
	default:
		return request{}, badRequest("the body must be one JSON object")
	}
	var read request
	var found *problem
	var seen [members]bool
	err := decoder.Object(func(name []byte) error {
		member := memberOf(name)
		if member != other && seen[member] {
			found = badRequest("a name is given twice")
			return errFound
		}
		seen[member] = true
		if found = read.field(decoder, member, memory); found != nil {
			return errFound
		}
		return nil
	})
	if found != nil {
		return request{}, found
	}
	if err == nil {
		err = decoder.End()
	}
	if err != nil {
		return request{}, badRequest("the body is not one JSON object: " + err.Error())
	}
	return read, read.complete()
}

// errFound ends the walk over an object; the problem says why.
var errFound = errors.New("found a problem")

// member is one that GraphQL over HTTP knows.
type member uint8

const (
	query member = iota
	operationName
	variables
	extensions
	other // what GraphQL over HTTP does not know
	members
)

func memberOf(name []byte) member {
	switch string(name) {
	case "query":
		return query
	case "operationName":
		return operationName
	case "variables":
		return variables
	case "extensions":
		return extensions
	default:
		return other
	}
}

func (read *request) field(decoder *strictjson.Decoder, name member, memory *scratch) (found *problem) {
	switch name {
	case query:
		text, found := readText(decoder, "query", memory.query[:0])
		memory.query = append(memory.query[:0], text...) // out of the body, and kept where it grew
		read.query = memory.query
		return found
	case operationName:
		text, found := readText(decoder, "operationName", nil)
		if found == nil && len(text) > maxOperationName {
			return badRequest("operationName is too long")
		}
		read.operationName = string(text)
		return found
	case variables:
		read.variables, found = readObject(decoder, "variables")
		return found
	case extensions:
		values, found := readObject(decoder, "extensions")
		if found == nil {
			read.persisted, found = readPersisted(values)
		}
		return found
	default:
		if _, err := decoder.Value(); err != nil {
			return badRequest("the body is not one JSON object: " + err.Error())
		}
		return nil
	}
}

// readText reads a string or null.
func readText(decoder *strictjson.Decoder, name string, buffer []byte) ([]byte, *problem) {
	switch decoder.Kind() {
	case '"':
		text, err := decoder.Text(buffer)
		if err != nil {
			return nil, badRequest(name + ": " + err.Error())
		}
		return text, nil
	case 'n':
		if _, err := decoder.Value(); err != nil {
			return nil, badRequest(name + ": " + err.Error())
		}
		return nil, nil
	default:
		return nil, badRequest(name + " must be a string")
	}
}

// complete refuses a request that names no document.
func (read *request) complete() *problem {
	if len(read.query) == 0 && !read.persisted.given {
		return badRequest("there is no query")
	}
	return nil
}
