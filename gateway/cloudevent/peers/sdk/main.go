// Command sdk reads one CloudEvent in JSON from each line of standard input, and lets the SDK of
// CloudEvents validate it. Of two events in a row with consecutive sequence numbers, the second
// must have the chain hash of the first as its prevhash. It is a module of its own, so that no
// other program depends on it. It prints how many events are valid and how many follow on the one
// before, and fails at the first that is wrong.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
)

func main() {
	valid, linked, err := judge()
	if err != nil {
		fmt.Fprintf(os.Stderr, "event %d: %v\n", valid+1, err)
		os.Exit(1)
	}
	fmt.Printf("%d valid, %d linked\n", valid, linked)
}

func judge() (valid, linked int, err error) {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	var seq uint64
	hash := ""
	for in.Scan() {
		var e event.Event
		if err := e.UnmarshalJSON(in.Bytes()); err != nil {
			return valid, linked, err
		}
		if err := e.Validate(); err != nil {
			return valid, linked, err
		}
		var data map[string]any
		if err := e.DataAs(&data); err != nil || data["kind"] == nil {
			return valid, linked, fmt.Errorf("data %s: %w", e.Data(), err)
		}
		valid++
		text, ok := e.Extensions()["sequence"].(string)
		if !ok {
			continue
		}
		next, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return valid, linked, err
		}
		if next == seq+1 && hash != "" {
			if e.Extensions()["prevhash"] != hash {
				return valid, linked, fmt.Errorf("prevhash %v, want %s", e.Extensions()["prevhash"], hash)
			}
			linked++
		}
		seq, hash = next, e.Extensions()["chainhash"].(string)
	}
	return valid, linked, in.Err()
}
