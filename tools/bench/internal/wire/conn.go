package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	maxBody     = 1 << 20         // bytes of an answer; a count of 26 candidates has about 4 KiB
	readBuffer  = 4 << 10         // bytes; an answer to one operation fits in
	dialTimeout = 5 * time.Second // to a port of this machine
)

// ErrUnanswered says that a request went out, at least in part, and no whole answer came back: it may have had its
// effect. Every other error of Do means that nothing was sent.
var ErrUnanswered = errors.New("sent and not answered")

// Answer is what came back. Body is valid until the next Do.
type Answer struct {
	Status int
	Body   []byte
}

// Conn is one keep-alive connection, used by one goroutine at a time. It is made at the first request, and anew after
// an error or when the server closed it.
type Conn struct {
	target  Target
	timeout time.Duration
	refresh time.Duration // how stale the deadline may get: setting it costs a timer each time

	conn        net.Conn
	reader      *bufio.Reader
	body        []byte
	deadlineSet time.Time
}

// NewConn makes a connection that gives each answer the timeout, and up to an eighth more.
func NewConn(target Target, timeout time.Duration) *Conn {
	return &Conn{target: target, timeout: timeout, refresh: timeout / 8, reader: bufio.NewReaderSize(nil, readBuffer)}
}

// Connect opens the connection unless it is open, so that a measured request need not.
func (c *Conn) Connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", c.target.address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.target.address, err)
	}
	c.conn, c.deadlineSet = conn, time.Time{}
	c.reader.Reset(conn)
	return nil
}

// Close closes the connection. Do opens it again.
func (c *Conn) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Do sends an encoded request and reads the answer. It never sends a request twice. The context only bounds connecting:
// a request that went out is waited for, since only its answer says what it did.
func (c *Conn) Do(ctx context.Context, request []byte) (Answer, error) {
	if err := c.Connect(ctx); err != nil {
		return Answer{}, err
	}
	if now := time.Now(); now.Sub(c.deadlineSet) > c.refresh {
		c.deadlineSet = now
		if err := c.conn.SetDeadline(now.Add(c.timeout + c.refresh)); err != nil {
			c.Close()
			return Answer{}, fmt.Errorf("set the deadline: %w", err)
		}
	}
	if _, err := c.conn.Write(request); err != nil {
		c.Close()
		return Answer{}, fmt.Errorf("write: %w: %w", err, ErrUnanswered)
	}
	answer, keep, err := c.read()
	if err != nil {
		c.Close()
		return Answer{}, fmt.Errorf("read: %w: %w", err, ErrUnanswered)
	}
	if !keep {
		c.Close()
	}
	return answer, nil
}

// head is what matters of a status line and header fields.
type head struct {
	status  int
	length  int // -1 where the header gives none
	chunked bool
	keep    bool
}

func (c *Conn) read() (Answer, bool, error) {
	h, err := c.readHead()
	if err != nil {
		return Answer{}, false, err
	}
	c.body = c.body[:0]
	switch {
	case h.chunked:
		err = c.readChunks()
	case h.length >= 0:
		err = c.readBody(h.length)
	default:
		err = errors.New("an answer without a length")
	}
	return Answer{Status: h.status, Body: c.body}, h.keep, err
}

func (c *Conn) readHead() (head, error) {
	h := head{length: -1, keep: true}
	line, err := c.readLine()
	if err != nil {
		return h, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return h, fmt.Errorf("not an HTTP/1.1 answer: %.40q", line)
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, fmt.Errorf("not an HTTP/1.1 answer: %.40q", line)
	}
	for {
		line, err := c.readLine()
		if err != nil || len(line) == 0 {
			return h, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.Atoi(string(value)); err != nil || h.length < 0 || h.length > maxBody {
				return h, fmt.Errorf("an answer of %.20q bytes", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			h.keep = !bytes.EqualFold(value, []byte("close"))
		}
	}
}

// readLine gives one line without its end, valid until the next read.
func (c *Conn) readLine() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// readBody appends so many bytes to the body.
func (c *Conn) readBody(length int) error {
	if len(c.body)+length > maxBody {
		return fmt.Errorf("an answer of more than %d bytes", maxBody)
	}
	from := len(c.body)
	c.body = append(c.body, make([]byte, length)...)
	_, err := io.ReadFull(c.reader, c.body[from:])
	return err
}

func (c *Conn) readChunks() error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		length, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil {
			return fmt.Errorf("a malformed chunk: %w", err)
		}
		if length == 0 {
			return c.skipTrailer()
		}
		if err := c.readBody(int(length)); err != nil {
			return err
		}
		if line, err := c.readLine(); err != nil || len(line) != 0 {
			return errors.Join(errors.New("a malformed chunk"), err)
		}
	}
}

func (c *Conn) skipTrailer() error {
	for {
		if line, err := c.readLine(); err != nil || len(line) == 0 {
			return err
		}
	}
}
