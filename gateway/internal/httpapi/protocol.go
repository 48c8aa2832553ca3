package httpapi

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// message is one of the protocol.
type message struct {
	ID      *string         `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// violation is why a WebSocket is closed.
type violation struct {
	code   websocket.StatusCode
	reason string // at most 123 bytes
}

func invalid(reason string) *violation { return &violation{closeInvalid, reason} }

// subscription is one of a WebSocket.
type subscription struct {
	id     string
	cancel context.CancelFunc
}

const (
	maxID          = 128  // bytes of a subscription's id
	maxCredentials = 8192 // bytes of one member of connection_init
)

// take answers one message.
func (s *socket) take(data []byte, late *time.Timer) *violation {
	var m message
	if json.Unmarshal(data, &m) != nil {
		return invalid("Invalid message")
	}
	switch m.Type {
	case "connection_init":
		if wrong := s.initialise(m.Payload); wrong != nil {
			return wrong
		}
		late.Stop()
		s.write([]byte(`{"type":"connection_ack"}`))
	case "ping":
		s.write([]byte(`{"type":"pong"}`))
	case "pong":
	case "subscribe":
		return s.subscribe(m)
	case "complete":
		if m.ID == nil {
			return invalid("complete without an id")
		}
		s.forget(*m.ID)
	default:
		return invalid("Unknown type of message")
	}
	return nil
}

// initialise finds out who sends, by what the message says, else by what the request said that opened the WebSocket.
func (s *socket) initialise(payload json.RawMessage) *violation {
	if s.initialised {
		return &violation{closeInitTwice, "Too many initialisation requests"}
	}
	s.initialised = true
	said := map[string]any{}
	if len(payload) > 0 && json.Unmarshal(payload, &said) != nil {
		return invalid("The payload of connection_init is not an object")
	}
	request := s.request.Clone(s.ctx)
	for name, value := range said {
		var header string
		switch {
		case strings.EqualFold(name, "Authorization"):
			header = "Authorization"
		case strings.EqualFold(name, tenant.Header):
			header = tenant.Header
		default:
			continue // clients tell what they like
		}
		text, ok := value.(string)
		if !ok || len(text) > maxCredentials {
			return invalid("A credential of connection_init is not a string, or too long")
		}
		request.Header.Set(header, text)
	}
	callers, refusal := s.h.identify(discarded{}, request)
	if refusal == nil {
		s.callers = callers
		s.wait.Go(func() { s.lookAgain(callers, request) })
		return nil
	}
	s.h.log.DebugContext(s.ctx, "not identified", "error", refusal)
	if refusal.Code == statusv1.Code_CODE_UNAVAILABLE || refusal.Code == statusv1.Code_CODE_INTERNAL {
		return &violation{websocket.StatusTryAgainLater, "Try again later"}
	}
	return &violation{closeForbidden, "Forbidden"}
}

// subscribe begins a subscription, or says why not.
func (s *socket) subscribe(m message) *violation {
	switch {
	case s.callers == nil:
		return &violation{closeUnauthorized, "Unauthorized"}
	case m.ID == nil || *m.ID == "" || len(*m.ID) > maxID:
		return invalid("The id of subscribe is not a string of 1 to 128 bytes")
	}
	request, problem := parseBody(&scratch{body: m.Payload})
	if problem != nil {
		return invalid("The payload of subscribe is not a request")
	}
	begin := &beginning{h: s.h, asked: time.Now()}
	s.mu.Lock()
	used, many := s.subs[*m.ID] != nil, len(s.subs) >= s.h.cfg.Streams.PerSocket
	s.mu.Unlock()
	switch {
	case used:
		return &violation{closeUsedID, "Subscriber for this id already exists"}
	case many:
		s.refuse(*m.ID, begin, &answer.Refusal{
			Code: statusv1.Code_CODE_OVERLOADED, Text: answer.Overloaded, Retryable: true, RetryAfter: time.Second,
		})
		return nil
	}
	if limits := s.h.cfg.Limits; limits != nil {
		if over := limits.Take(s.callers, s.request, 1); over != nil {
			s.refuse(*m.ID, begin, over)
			return nil
		}
	}
	operation, errs := s.prepare(request, begin)
	if errs != nil {
		s.fail(*m.ID, begin, errs)
		return nil
	}
	ctx, cancel := context.WithCancel(s.callers)
	sub := &subscription{id: *m.ID, cancel: cancel}
	s.mu.Lock()
	s.subs[sub.id] = sub
	s.mu.Unlock()
	s.wait.Go(func() {
		defer cancel()
		s.run(ctx, sub, operation, begin)
	})
	return nil
}

func (s *socket) prepare(request request, begin *beginning) (engine.Operation, gqlerror.List) {
	document, failure := s.h.find(&request)
	if failure != nil {
		return engine.Operation{}, failure.errs
	}
	operation, errs := document.Select(request.operationName)
	if errs != nil {
		return engine.Operation{}, errs
	}
	begin.field = operation.Field()
	if !operation.Subscription() {
		return engine.Operation{}, gqlerror.List{{
			Message: "queries and mutations are not served on WebSockets: send them by HTTP", Extensions: refusalOf("OPERATION_NOT_SERVED"),
		}}
	}
	return operation, s.h.engine.Bind(&operation, request.variables)
}

// run sends what a subscription brings.
func (s *socket) run(ctx context.Context, sub *subscription, operation engine.Operation, begin *beginning) {
	defer begin.over(ctx)
	stream, errs := s.h.engine.Subscribe(ctx, operation, s.request.Header)
	if errs == nil {
		for response := stream.Next(); response != nil; response = stream.Next() {
			begin.answered(ctx, response.Errors)
			s.next(sub, response)
		}
		if ctx.Err() != nil {
			return
		}
		errs = stream.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[sub.id] != sub {
		return
	}
	delete(s.subs, sub.id)
	if errs != nil {
		s.fail(sub.id, begin, errs)
		return
	}
	s.write(s.head("complete", sub.id, false))
}

// next sends an answer, unless the client has completed the subscription meanwhile.
func (s *socket) next(sub *subscription, response *graphql.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[sub.id] != sub {
		return
	}
	s.out = append(appendResponse(s.head("next", sub.id, true), response), '}')
	s.write(s.out)
}

// forget ends a subscription as its client wishes. Nothing more is sent for it; its id may be used again.
func (s *socket) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.subs[id]; sub != nil {
		delete(s.subs, id)
		sub.cancel()
	}
}

// fail says that a subscription has ended with errors, or never began.
func (s *socket) fail(id string, begin *beginning, errs gqlerror.List) {
	begin.answered(s.ctx, errs)
	out := append(appendHead(nil, "error", id, true), marshalErrors(errs)...)
	s.write(append(out, '}'))
}

func (s *socket) refuse(id string, begin *beginning, why *answer.Refusal) {
	s.fail(id, begin, gqlerror.List{s.h.engine.Refusal(why, s.request.Header)})
}

// head is the beginning of a message in the buffer of subscriptions' messages, or all of it.
func (s *socket) head(kind, id string, payload bool) []byte {
	return appendHead(s.out[:0], kind, id, payload)
}

func appendHead(out []byte, kind, id string, payload bool) []byte {
	quoted, _ := json.Marshal(id) // a string: it can't fail
	out = append(append(out, `{"id":`...), quoted...)
	out = append(append(append(out, `,"type":"`...), kind...), '"')
	if payload {
		return append(out, `,"payload":`...)
	}
	return append(out, '}')
}
