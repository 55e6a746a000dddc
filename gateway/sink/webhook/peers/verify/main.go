// Command verify reads {"secret":…,"header":…,"body":…} from standard input and lets the library of
// Standard Webhooks verify the signature. It is a module of its own, so that no other program
// depends on it. It fails if the signature does not fit.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	if err := verify(); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func verify() error {
	var in struct {
		Secret string
		Header http.Header
		Body   string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	wh, err := standardwebhooks.NewWebhook(in.Secret)
	if err != nil {
		return err
	}
	return wh.Verify([]byte(in.Body), in.Header)
}
