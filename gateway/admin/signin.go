package admin

import (
	"context"
	"net/http"
)

// SignIn is what came of somebody's trying to sign in at the console, for the record.
type SignIn struct {
	Account string `json:"account" doc:"its name as it was typed, which need not be anybody's"`
	From    string `json:"from" doc:"the browser's address"`
	How     string `json:"how" doc:"with what, or what was wrong" example:"password and one-time code"`
	Failed  int    `json:"failed,omitempty" minimum:"0" doc:"how often it was refused; 0: somebody is signed in"`
}

// Recorded is an event that was made.
type Recorded struct {
	Seq uint64 `json:"seq" doc:"sequence number of the event"`
}

func (a *api) signInRoutes() {
	handle(a, onMachine, http.MethodPost, "/v1/sign-ins", "record-sign-in", "Record that somebody signed in at the console, or was refused",
		func(ctx context.Context, in *struct{ Body SignIn }) (*body[Recorded], error) {
			seq, err := a.accounts.RecordSignIn(ctx, in.Body.Account, in.Body.From, in.Body.How, in.Body.Failed)
			return answer(Recorded{seq}, err)
		})
}
