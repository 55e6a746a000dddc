// Package webhook sends events by HTTP POST, signed as Standard Webhooks says. It follows no
// redirect, uses no proxy, and shows nothing of what a server answers but the status.
//
// Several events go as one application/cloudevents-batch+json. If a server refuses that as such, it
// gets the events one by one. The webhook-id is SITE-EPOCH-SEQ, for a batch SITE-EPOCH-SEQ-SEQ of
// its first and last event: an id of Standard Webhooks must not have a full stop in it.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/cloudevent"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/sink/sender"
	"latchkey/keys"
)

const (
	answerWithin = 10 * time.Second // of a request, with its connection and the answer's body
	maxHeader    = 16 << 10         // bytes of the answer's header
	maxBody      = 4 << 10          // of its body, which is read so that the connection can be used again
	maxLater     = time.Hour        // of what a server may ask us to wait
)

// Sender sends to one webhook. It is for one goroutine.
type Sender struct {
	to      endpoint.Endpoint
	secrets []keys.Hidden
	client  *http.Client
	within  time.Duration
	// single is set when the server has refused a batch and then taken each event of it.
	single bool
}

// New returns the sender of a sink. It opens no connection.
func New(s sinks.Sink) (sender.Sender, error) { return newSender(s, answerWithin) }

func newSender(s sinks.Sink, within time.Duration) (*Sender, error) {
	for _, secret := range s.Secrets {
		if err := CheckSecret(secret.Reveal()); err != nil {
			return nil, err
		}
	}
	conf, err := dial.TLS(s.Endpoint)
	if err != nil {
		return nil, err
	}
	// Proxy stays nil: behind a proxy, nobody could check the address.
	return &Sender{to: s.Endpoint, secrets: s.Secrets, within: within, client: &http.Client{
		Timeout:       within,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dial.Dialer(s.Endpoint).DialContext, TLSClientConfig: conf,
			TLSHandshakeTimeout: within, DisableCompression: true, MaxIdleConns: 1,
			IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxHeader}}}, nil
}

// Close closes the connection.
func (s *Sender) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Send implements [sender.Sender].
func (s *Sender) Send(ctx context.Context, batch []sender.Message) (taken int, err error) {
	refused := false
	if len(batch) > 1 && !s.single {
		err := s.post(ctx, idOf(batch), cloudevent.BatchContentType, joinBodies(batch))
		var r *sender.Refusal
		if err == nil {
			return len(batch), nil
		}
		if !errors.As(err, &r) {
			return 0, err
		}
		refused = true // one of the events, or batches at all: that shows one by one
	}
	for i := range batch {
		if err := s.post(ctx, idOf(batch[i:i+1]), cloudevent.ContentType, batch[i].Body); err != nil {
			return i, err
		}
	}
	s.single = s.single || refused
	return len(batch), nil
}

// idOf returns the webhook-id of messages: the same for the same messages.
func idOf(batch []sender.Message) string {
	first, last := batch[0], batch[len(batch)-1]
	id := strings.ReplaceAll(first.ID, ".", "-")
	if first.Site != "" {
		id = first.Site + "-" + id
	}
	if len(batch) > 1 {
		id += "-" + strconv.FormatUint(last.Seq, 10)
	}
	return id
}

func joinBodies(batch []sender.Message) []byte {
	var out bytes.Buffer
	sep := byte('[')
	for _, m := range batch {
		out.WriteByte(sep)
		out.Write(m.Body)
		sep = ','
	}
	out.WriteByte(']')
	return out.Bytes()
}

// post sends one request. nil means that the server has taken it.
func (s *Sender) post(ctx context.Context, id, contentType string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.to.URL, bytes.NewReader(body))
	if err != nil {
		return sender.Halted("the URL is not one")
	}
	now := time.Now().Unix()
	req.Header = http.Header{"Content-Type": {contentType}, "User-Agent": {"latchkey"},
		"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(now, 10)},
		"Webhook-Signature": {sign(s.secrets, id, now, body)}}
	if s.to.User != "" || !s.to.Password.IsZero() {
		req.SetBasicAuth(s.to.User, s.to.Password.Reveal())
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return explainFailure(err)
	}
	// The status has come, so whatever happens to the body changes nothing.
	_, _ = io.CopyN(io.Discard, resp.Body, maxBody)
	_ = resp.Body.Close()
	return judge(resp)
}

// explainFailure returns the error of a request without an answer. It leaves out the URL, which may
// have a secret in it, and what the server sent, which may be our password.
func explainFailure(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var network net.Error
	switch {
	case dial.IsCertificate(err):
		return sender.Halted("certificate: %v", err)
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.Canceled), errors.Is(err, http.ErrSchemeMismatch),
		strings.HasPrefix(err.Error(), "tls: "):
		return fmt.Errorf("no answer: %w", err)
	}
	return errors.New("no answer: what the server sends is not HTTP, or is too long")
}

// judge returns what an answer means for what was sent. The text is ours: a server could send back
// the password in its own.
func judge(resp *http.Response) error {
	code := resp.StatusCode
	why := strings.TrimSpace(fmt.Sprintf("HTTP %d %s", code, http.StatusText(code)))
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return &sender.Halt{Why: why + ": it wants to send us elsewhere, which is not followed"}
	}
	switch code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity:
		return &sender.Refusal{Why: why}
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return &sender.Halt{Why: why}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if after := readRetryAfter(resp.Header.Get("Retry-After"), time.Now()); after > 0 {
			return &sender.Later{Why: why, After: after}
		}
	}
	return errors.New(why)
}

// readRetryAfter reads a Retry-After (RFC 9110 §10.2.3): seconds or a date, at most an hour. It
// returns 0 for anything else.
func readRetryAfter(text string, now time.Time) time.Duration {
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), maxLater)
}
