package servers

import (
	"fmt"
	"net/http"
	"strconv"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
)

// errNothing is the answer to a form that asks for nothing.
var errNothing = refuse(http.StatusBadRequest, "Nothing to do.")

func makeSinks(v Visit) (any, error) {
	got, err := call(v, api.ListSinks, api.ListQuery{})
	all := make([]page.Sink, 0, len(got.Items))
	for _, s := range got.Items {
		all = append(all, page.Sink{Sink: s})
	}
	return all, err
}

// sinkView is the page of a sink.
type sinkView struct {
	page.Sink
	Dead []page.DeadLetter
	More int // dead letters that are not shown
}

// maxDead is how many dead letters a page shows, the oldest first.
const maxDead = 200

func makeSink(v Visit) (any, error) {
	s, err := call(v, api.GetSink, v.readRef("sink"))
	if err != nil {
		return nil, err
	}
	dead, err := call(v, api.ListDeadLetters, v.readRef("sink"))
	if err != nil {
		return nil, err
	}
	p := sinkView{Sink: page.Sink{Sink: s}}
	shown := dead.Items[:min(len(dead.Items), maxDead)]
	p.More = len(dead.Items) - len(shown)
	for _, d := range shown {
		p.Dead = append(p.Dead, page.DeadLetter{DeadLetter: d, Sink: s.ID})
	}
	return p, nil
}

func changeSink(v Visit) (to, text string, err error) {
	paused, ok := v.readPause()
	if !ok {
		return "", "", errNothing
	}
	s, err := call(v, api.ChangeSink, api.AtWith(v.Path("sink"), api.SinkChange{Paused: &paused}))
	if err != nil {
		return "", "", err
	}
	text = s.Name + " is resumed. It sends what it has not sent yet."
	if s.Paused != "" {
		text = s.Name + " is paused: nothing is sent to it. The events wait in the record."
	}
	return v.addressOf("sink"), text, nil
}

func testSink(v Visit) (to, text string, err error) {
	_, err = call(v, api.TestSink, v.readRef("sink"))
	return v.addressOf("sink"), "The server has taken a test event.", err
}

func removeSink(v Visit) (to, text string, err error) {
	done, err := call(v, api.RemoveSink, v.readRef("sink"))
	return "/sinks", page.DescribeChanges(done), err
}

func retryDeadLetter(v Visit) (to, text string, err error) {
	seq, err := strconv.ParseUint(v.Path("seq"), 10, 64)
	if err != nil || seq == 0 {
		return "", "", refuse(http.StatusNotFound, "There is no such dead letter.")
	}
	_, err = call(v, api.RetryDeadLetter, api.DeadRef{ByRef: v.readRef("sink"), Seq: seq})
	return v.addressOf("sink"), fmt.Sprintf("The server has taken event %d.", seq), err
}
