package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/store"
)

// An operation of package api says what its input and its output are. Here the API answers in this
// process. A program elsewhere passes the Do method of an [http.Client] that reaches the API.
func Example() {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{InMemory: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	h := account.As(account.NewUnixPeer("example"), admin.New(admin.Config{Store: s}))
	send := client.InProcess(h).RoundTrip

	// The input is sent as JSON, and the answer is decoded.
	ann, err := client.Call(ctx, send, api.AddPerson, api.With(api.NewPerson{Name: "ann"}))
	fmt.Println(ann.Name, err)

	// A record is named in the path, by its name or its id.
	suspended := true
	change := api.AtWith("ann", api.PersonChange{Suspended: &suspended})
	ann, err = client.Call(ctx, send, api.ChangePerson, change)
	fmt.Println(ann.Suspended, err)

	// A refusal says what is wrong.
	_, err = client.Call(ctx, send, api.GetPerson, api.At("bob"))
	var refused *client.Problem
	fmt.Println(errors.As(err, &refused))
	fmt.Println(refused.Status, refused)

	// Output:
	// ann <nil>
	// true <nil>
	// true
	// 404 person "bob": not found: latchkey person list shows what there is
}
