package httpapi

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// subprotocol is the one that WebSockets speak here: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
const subprotocol = "graphql-transport-ws"

// What a WebSocket is closed with, as the protocol has it.
const (
	closeInvalid      websocket.StatusCode = 4400
	closeUnauthorized websocket.StatusCode = 4401
	closeForbidden    websocket.StatusCode = 4403
	closeNotOurs      websocket.StatusCode = 4406
	closeInitTimeout  websocket.StatusCode = 4408
	closeUsedID       websocket.StatusCode = 4409
	closeInitTwice    websocket.StatusCode = 4429
)

// closing is how long a client has to answer when its WebSocket is closed.
const closing = time.Second

// upgrades reports whether a request opens a WebSocket.
func upgrades(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	return upgrade != nil && strings.EqualFold(strings.TrimSpace(upgrade[0]), "websocket")
}

// websocket serves one WebSocket until it is closed, and returns the status of the handshake.
func (h *Handler) websocket(w http.ResponseWriter, r *http.Request, memory *scratch) int {
	if !h.door.Enter() || !h.open.enter() {
		return h.refuse(w, legacy, memory, overloaded())
	}
	defer h.open.leave()
	ctx, refusal := h.admit(w, r)
	if refusal != nil {
		return h.turnedAway(w, r, legacy, memory, refusal)
	}
	narrow(r)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol}, OriginPatterns: h.cfg.Streams.Origins, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		h.log.DebugContext(r.Context(), "no WebSocket", "error", err)
		return http.StatusBadRequest
	}
	// The request's own context is not to be used once its connection is taken over.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &socket{h: h, conn: conn, request: r, ctx: ctx, cancel: cancel, subs: make(map[string]*subscription)}
	s.serve()
	return http.StatusSwitchingProtocols
}

// socket is one WebSocket. Its messages are read and answered by one goroutine; each subscription has another.
type socket struct {
	h       *Handler
	conn    *websocket.Conn
	request *http.Request   // that opened it
	ctx     context.Context //nolint:containedctx // the socket's own; its end breaks the connection
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	once    sync.Once

	initialised bool
	callers     context.Context //nolint:containedctx // holds who sends, once the connection is initialised

	mu   sync.Mutex // held while a message of a subscription is written
	subs map[string]*subscription
	out  []byte
}

// serve ends when the client is gone, has broken the protocol, or does not answer; or when the gateway stops.
func (s *socket) serve() {
	defer s.wait.Wait()
	defer s.cancel()
	s.conn.SetReadLimit(int64(s.h.cfg.MaxBody))
	defer context.AfterFunc(s.h.open.draining, func() { s.close(websocket.StatusGoingAway, "the gateway stops") })()
	late := time.AfterFunc(s.h.cfg.Streams.InitTimeout, func() { s.close(closeInitTimeout, "Connection initialisation timeout") })
	defer late.Stop()
	s.wait.Go(s.ping)
	over := s.conn.Subprotocol() != subprotocol
	if over {
		s.wait.Go(func() { s.close(closeNotOurs, "Subprotocol not acceptable") })
	}
	for {
		kind, data, err := s.conn.Read(s.ctx)
		if err != nil {
			s.close(websocket.StatusNormalClosure, "")
			return
		}
		if over {
			continue // the client has not read yet that it is
		}
		wrong := invalid("Messages must be text")
		if kind == websocket.MessageText {
			wrong = s.take(data, late)
		}
		if wrong != nil {
			over = true
			s.wait.Go(func() { s.close(wrong.code, wrong.reason) })
		}
	}
}

// close says goodbye, and breaks the connection of a client that does not answer in time.
func (s *socket) close(code websocket.StatusCode, reason string) {
	s.once.Do(func() {
		defer time.AfterFunc(closing, s.cancel).Stop()
		_ = s.conn.Close(code, reason) // the client may be gone
	})
}

// ping looks whether the client is there, until ctx ends.
func (s *socket) ping() {
	ticker := time.NewTicker(s.h.cfg.Streams.PingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.h.cfg.Streams.WriteTimeout)
		err := s.conn.Ping(ctx)
		cancel()
		if err != nil {
			s.cancel()
			return
		}
	}
}

// lookAgain closes the WebSocket once the token is no longer good that it was initialised with.
func (s *socket) lookAgain(callers context.Context, request *http.Request) {
	ticker := time.NewTicker(s.h.cfg.Streams.LookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			if !s.h.believed(callers, request) {
				s.close(closeForbidden, "Forbidden")
				return
			}
		}
	}
}

// write sends a message; a client that does not take it in time loses its connection.
func (s *socket) write(message []byte) {
	ctx, cancel := context.WithTimeout(s.ctx, s.h.cfg.Streams.WriteTimeout)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, message) != nil {
		s.cancel()
	}
}
