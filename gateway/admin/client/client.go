// Package client calls the operations of the admin API. Package api declares the operations and
// their input.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"latchkey/gateway/admin/api"
)

// maxAnswer bounds an answer, in bytes. A list of all cards of a big site fits.
const maxAnswer = 256 << 20

// maxProblem bounds a refusal, in bytes.
const maxProblem = 1 << 16

// host is the host in each request. The sender decides where the request goes.
const host = "http://latchkey"

// Send sends a request of the API and returns the answer, as [http.Client.Do] does.
type Send func(*http.Request) (*http.Response, error)

// IfMatch makes the gateway refuse a change, with a [*Problem] of the type [api.TypeChanged], if
// the record has another tag by now.
func IfMatch(send Send, tag string) Send {
	return func(r *http.Request) (*http.Response, error) {
		r.Header.Set("If-Match", `"`+tag+`"`)
		return send(r)
	}
}

// Header also returns the value that a header has in the answer, once that is there.
func Header(send Send, name string) (Send, *string) {
	var value string
	return func(r *http.Request) (*http.Response, error) {
		resp, err := send(r)
		if err == nil {
			value = resp.Header.Get(name)
		}
		return resp, err
	}, &value
}

// Call calls an operation. A refusal is a [*Problem].
func Call[In, Out any](ctx context.Context, send Send, op api.Operation[In, Out], in In) (Out, error) {
	raw, err := CallRaw(ctx, send, op, in)
	if err != nil {
		var none Out
		return none, err
	}
	return Decode(op, raw)
}

// Decode reads an answer of an operation that [CallRaw] returned.
func Decode[In, Out any](_ api.Operation[In, Out], raw []byte) (Out, error) {
	var out Out
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("the gateway's answer is not of this version: %w", err)
	}
	return out, nil
}

// CallRaw calls an operation and returns the answer's JSON as it came. A refusal is a [*Problem].
func CallRaw[In, Out any](ctx context.Context, send Send, op api.Operation[In, Out], in In) ([]byte, error) {
	body, err := Open(ctx, send, op, in)
	if err != nil {
		return nil, err
	}
	body = http.MaxBytesReader(nil, body, maxAnswer)
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("admin API: %w", err)
	}
	return bytes.TrimSpace(raw), nil
}

// Open calls an operation and returns the body of the answer, which the caller closes. It is for
// answers that do not end, such as a stream of events: one JSON value a line. A refusal is a
// [*Problem].
func Open[In, Out any](ctx context.Context, send Send, op api.Operation[In, Out],
	in In) (io.ReadCloser, error) {
	r, err := NewRequest(ctx, op, in)
	if err != nil {
		return nil, err
	}
	resp, err := send(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer func() { _ = resp.Body.Close() }()
		return nil, readProblem(resp)
	}
	return resp.Body, nil
}

// Problem is why an operation was refused, or did not work: an answer of RFC 9457.
type Problem struct {
	Status int    `json:"status"` // of HTTP
	Type   string `json:"type"`   // a URN, or empty
	Title  string `json:"title"`
	Detail string `json:"detail"` // what is wrong and what to do, for people; never empty

	RetryAfter time.Duration `json:"-"` // after which to ask again; 0: not said
}

func (p *Problem) Error() string { return p.Detail }

func readProblem(resp *http.Response) *Problem {
	p := &Problem{}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // a part of the text is enough
	if err := json.Unmarshal(raw, p); err != nil {
		p = &Problem{}
	}
	p.Status = resp.StatusCode
	p.Detail = cmp.Or(p.Detail, p.Title, "the admin API answered "+resp.Status)
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
