package route

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/openapi"
	"latchkey/gateway/limit"
)

const fileMedia = "application/octet-stream"

// writeWait is how long the client of a file may take for a part of it.
const writeWait = 30 * time.Second

// HandleFile registers the function that answers an operation with a file, which is sent while it
// is made. h may set headers before the first byte. An error before that becomes a problem. After
// it the connection ends without the end of the answer, so that the client sees that a part is
// missing. One such file is sent at a time, because making it takes work.
func HandleFile[In, Out any](r *Router, op api.Operation[In, Out], answer *huma.Response,
	h func(ctx context.Context, in *In, head http.Header, w io.Writer) error) {
	described := openapi.Describe(op)
	answer.Content = map[string]*huma.MediaType{fileMedia: {}}
	described.Responses = map[string]*huma.Response{"200": answer}
	r.CheckBefore(&described, op.Needs, op.Matches)
	var busy atomic.Bool
	huma.Register(r.API, described, func(ctx context.Context, in *In) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(c huma.Context) {
			_, w := humago.Unwrap(c)
			if !busy.CompareAndSwap(false, true) {
				writeModel(w, r.MakeProblem(ctx, op.ID, errBusy))
				return
			}
			defer busy.Store(false)
			limit.Detach(ctx)
			f := &file{w: w, out: http.NewResponseController(w)}
			err := h(ctx, in, w.Header(), f)
			switch {
			case err == nil:
				return
			case f.begun:
				r.Log.ErrorContext(ctx, "file cut off", "operation", op.ID, "err", err)
				panic(http.ErrAbortHandler)
			}
			writeModel(w, r.MakeProblem(ctx, op.ID, err))
		}}, nil
	})
	openapi.DescribeHeaders(r.OpenAPI(), op)
}

var errBusy = Crowded{errors.New("another one is being made: wait until it is done")}

func writeModel(w http.ResponseWriter, problem error) {
	var m *huma.ErrorModel
	if !errors.As(problem, &m) {
		m = &huma.ErrorModel{Status: http.StatusInternalServerError,
			Title: http.StatusText(http.StatusInternalServerError)}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(m.Status)
	_ = json.NewEncoder(w).Encode(m) // the client is gone
}

// file sends an answer part by part.
type file struct {
	w     http.ResponseWriter
	out   *http.ResponseController
	begun bool
}

func (f *file) Write(b []byte) (int, error) {
	_ = f.out.SetWriteDeadline(time.Now().Add(writeWait)) // not every writer has a deadline
	if !f.begun {
		f.begun = true
		f.w.Header().Set("Content-Type", fileMedia)
		f.w.WriteHeader(http.StatusOK)
		_ = f.out.Flush() // a writer that cannot be flushed sends it later
	}
	return f.w.Write(b)
}
