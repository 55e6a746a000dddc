package client

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// InProcess returns a transport that hands requests and their contexts to a handler without a
// network. It returns an answer when the answer is complete, or when the handler has flushed a part
// of it; the rest then comes while it is read.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK, begun: make(chan *http.Response, 1)}
	go w.record(p.h, in)
	resp := <-w.begun
	resp.Request = r
	return resp, nil
}

// recorder keeps an answer in memory until it is flushed.
type recorder struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer

	flush sync.Once
	begun chan *http.Response // gets the answer once
	rest  *io.PipeWriter      // takes what follows a flush; nil before one
}

// record lets the handler answer.
func (w *recorder) record(h http.Handler, in *http.Request) {
	defer func() {
		var cut error
		if p := recover(); p == http.ErrAbortHandler {
			cut = io.ErrUnexpectedEOF // as a connection that ends without the end of the answer
		} else if p != nil {
			panic(p)
		}
		_ = in.Body.Close()
		if w.rest != nil {
			_ = w.rest.CloseWithError(cut) // never fails
			return
		}
		body := io.NopCloser(&w.body)
		if cut != nil {
			body = io.NopCloser(io.MultiReader(&w.body, failing{cut}))
		}
		w.begun <- w.begin(body, int64(w.body.Len()))
	}()
	h.ServeHTTP(w, in)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (w *recorder) begin(body io.ReadCloser, length int64) *http.Response {
	return &http.Response{StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status,
		http.StatusText(w.status)), Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1, Header: w.header.Clone(), Body: body, ContentLength: length}
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.wrote = true
	if w.rest != nil {
		return w.rest.Write(b)
	}
	return w.body.Write(b)
}

// Flush implements [http.Flusher].
func (w *recorder) Flush() {
	w.flush.Do(func() {
		w.wrote = true
		var rest *io.PipeReader
		rest, w.rest = io.Pipe()
		body := struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&w.body, rest), rest}
		w.begun <- w.begin(body, -1)
	})
}
