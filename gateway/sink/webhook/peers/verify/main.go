// Command verify reads requests, {"secret":…,"header":…,"body":…}, from standard input and lets the
// library of Standard Webhooks verify the signature of each. It is a module of its own, so that no
// other program depends on it. It fails at the first signature that does not fit, and if there is
// no request; otherwise it prints how many there were.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	n, err := verify()
	if err != nil {
		fmt.Fprintf(os.Stderr, "verify: request %d: %v\n", n+1, err)
		os.Exit(1)
	}
	fmt.Println(n)
}

func verify() (n int, err error) {
	requests := json.NewDecoder(os.Stdin)
	for {
		var in struct {
			Secret string
			Header http.Header
			Body   string
		}
		if err := requests.Decode(&in); errors.Is(err, io.EOF) && n > 0 {
			return n, nil
		} else if err != nil {
			return n, err
		}
		wh, err := standardwebhooks.NewWebhook(in.Secret)
		if err != nil {
			return n, err
		}
		if err := wh.Verify([]byte(in.Body), in.Header); err != nil {
			return n, err
		}
		n++
	}
}
