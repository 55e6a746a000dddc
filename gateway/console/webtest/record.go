package webtest

import (
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
)

// record holds what a page did. Chromium reports events in the order in which they happened.
type record struct {
	origin  string        // requests may only go there
	dialogs chan struct{} // one for each that opened

	mu       sync.Mutex
	main     cdp.FrameID                  // guarded by mu; the page itself, as opposed to a frame in it
	problems []string                     // guarded by mu
	expected []string                     // guarded by mu
	told     map[network.RequestID]bool   // guarded by mu; requests in problems: Chromium reports most twice
	urls     map[network.RequestID]string // guarded by mu
	requests []string                     // guarded by mu
	bytes    int64                        // guarded by mu; received for the page that is open
	loading  bool                         // guarded by mu
}

func newRecord(origin string) *record {
	return &record{origin: origin, dialogs: make(chan struct{}, 16), told: map[network.RequestID]bool{},
		urls: map[network.RequestID]string{}}
}

// recordEvent records one event of the page. It must not call the browser, since it runs in the
// goroutine that reads the browser's answers.
func (r *record) recordEvent(ev any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" || ev.Type == "assert" {
			r.addProblem("console %s: %s", ev.Type, formatArgs(ev.Args))
		}
	case *runtime.EventExceptionThrown:
		r.addProblem("exception: %s", formatException(ev.ExceptionDetails))
	case *log.EventEntryAdded:
		if e := ev.Entry; (e.Level == "error" || e.Level == "warning") && !r.markTold(e.NetworkRequestID) {
			r.addProblem("%s %s: %s (%s)", e.Source, e.Level, e.Text, e.URL)
		}
	case *page.EventJavascriptDialogOpening:
		r.addProblem("dialog: %s: %s", ev.Type, ev.Message)
		select {
		case r.dialogs <- struct{}{}:
		default:
		}
	case *target.EventAttachedToTarget:
		r.addProblem("%s whose requests nobody watches: %s", ev.TargetInfo.Type, ev.TargetInfo.URL)
	case *target.EventTargetCreated:
		if i := ev.TargetInfo; i.OpenerID != "" && cdp.FrameID(i.OpenerID) == r.main {
			r.addProblem("another tab: %s", i.URL)
		}
	case *page.EventFrameRequestedNavigation:
		r.loading = r.loading || ev.FrameID == r.main && ev.Disposition == "currentTab"
	case *page.EventFrameStartedLoading:
		r.loading = r.loading || ev.FrameID == r.main
	case *page.EventFrameStoppedLoading:
		r.loading = r.loading && ev.FrameID != r.main
	default:
		r.recordNetwork(ev)
	}
}

func (r *record) recordNetwork(ev any) {
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		r.addRequest(ev.RequestID, ev.Request.URL)
		if ev.RedirectResponse != nil {
			r.bytes += int64(ev.RedirectResponse.EncodedDataLength)
		} else if ev.Type == "Document" && ev.FrameID == r.main {
			r.bytes = 0
		}
	case *network.EventWebSocketCreated:
		r.addRequest(ev.RequestID, ev.URL)
	case *network.EventLoadingFinished:
		r.bytes += int64(ev.EncodedDataLength)
	case *network.EventLoadingFailed:
		// A cancelled request was given up by the page itself, for instance because another page is
		// loaded. One that the security policy stopped is also in the console.
		if !ev.Canceled && ev.BlockedReason != "csp" && !r.markTold(ev.RequestID) {
			r.addProblem("request failed: %s %s (%s)", ev.ErrorText, ev.BlockedReason, r.urls[ev.RequestID])
		}
	}
}

func (r *record) addRequest(id network.RequestID, to string) {
	r.urls[id] = to
	u, err := url.Parse(to)
	if err == nil && (u.Scheme == "data" || u.Scheme == "blob" || u.Scheme == "about") {
		return // of the page itself
	}
	r.requests = append(r.requests, to)
	if err != nil || u.Scheme+"://"+u.Host != r.origin {
		r.addProblem("request to another host: %s", to)
	}
}

func (r *record) markTold(id network.RequestID) bool {
	if id == "" {
		return false
	}
	told := r.told[id]
	r.told[id] = true
	return told
}

func (r *record) addProblem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// listUnexpected returns the problems that were not expected, and the expectations without a
// problem.
func (r *record) listUnexpected() (problems, unmet []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	met := map[string]bool{}
	for _, p := range r.problems {
		known := false
		for _, e := range r.expected {
			if strings.Contains(p, e) {
				known, met[e] = true, true
			}
		}
		if !known {
			problems = append(problems, p)
		}
	}
	for _, e := range r.expected {
		if !met[e] {
			unmet = append(unmet, e)
		}
	}
	return problems, unmet
}

func (r *record) isLoading() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loading
}

func formatArgs(args []*runtime.RemoteObject) string {
	var out []string
	for _, a := range args {
		if a.Description != "" {
			out = append(out, a.Description)
		} else {
			out = append(out, string(a.Value))
		}
	}
	return strings.Join(out, " ")
}

func formatException(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Text + " " + d.Exception.Description
	}
	return fmt.Sprintf("%s (%s:%d)", d.Text, d.URL, d.LineNumber+1)
}
