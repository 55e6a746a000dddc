package console

import (
	"context"
	"net/http"
	"slices"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

const (
	maxAnswer = 64 << 20
	callWait  = 2 * time.Minute
)

// call calls an operation of the admin API on behalf of the visitor. A refusal is a
// [*client.Problem].
func call[In, Out any](v *visit, op api.Operation[In, Out], in In) (Out, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), callWait)
	defer cancel()
	send := v.send
	if tag := v.readField("etag"); tag != "" && op.Matches { // the form shows an earlier state of the record
		send = client.IfMatch(send, tag)
	}
	return client.Call(ctx, send, op, in)
}

// list calls an operation that answers with a list, and returns its records.
func list[In, T any](v *visit, op api.Operation[In, api.List[T]], in In) ([]T, error) {
	l, err := call(v, op, in)
	return l.Items, err
}

// send sends a request to the API on behalf of the visitor, or takes the answer of an early
// request. It passes the headers that are for the browser on to it.
func (v *visit) send(r *http.Request) (*http.Response, error) {
	resp, err := v.answer(r)
	if err != nil {
		return nil, err
	}
	v.takeCookies(resp.Cookies())
	if resp.StatusCode/100 == 2 {
		if n := resp.Header.Get(api.NoticeHeader); n != "" {
			v.notice = n
		}
	} else if after := resp.Header.Get("Retry-After"); after != "" && v.w != nil {
		v.mustWait = true
		v.w.Header().Set("Retry-After", after)
	}
	return resp, nil
}

func (v *visit) answer(r *http.Request) (*http.Response, error) {
	key := keyOf(r)
	a := v.early[key]
	if a == nil {
		v.describeVisitor(r)
		resp, err := v.api.Do(r)
		if err == nil {
			resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
		}
		return resp, err
	}
	delete(v.early, key) // a second request must see the present state
	<-a.done             // ends with the visit, at the latest
	return a.resp, a.err
}

// describeVisitor writes into the request who the visitor is.
func (v *visit) describeVisitor(out *http.Request) {
	if v.token {
		out.Header.Set("Authorization", v.r.Header.Get("Authorization"))
		account.Describe(out.Header, v.r, nil)
		return
	}
	account.Describe(out.Header, v.r, v.cookies)
}

// takeCookies passes the cookies that an answer of the API sets on to the browser, and uses them
// for later requests of the visit.
func (v *visit) takeCookies(set []*http.Cookie) {
	for _, c := range set {
		v.cookies = append(slices.DeleteFunc(v.cookies,
			func(was *http.Cookie) bool { return was.Name == c.Name }), c)
		if v.w != nil {
			http.SetCookie(v.w, c)
		}
	}
}
