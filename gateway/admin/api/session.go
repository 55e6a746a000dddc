package api

import (
	"net/http"

	"latchkey/gateway/account"
)

// Session says who makes a request through the website, and whether they may call an operation.
type Session struct {
	Account *Account `json:"account,omitempty" doc:"the account that has signed in; left out if nobody has"`
	Local   bool     `json:"local,omitempty" doc:"the visitor is on a network where doors open without a second step"`
	Pending *Pending `json:"pending,omitempty" doc:"the password was right, and one of these second steps is due"`
	SetUp   bool     `json:"setUp,omitempty" doc:"there is no account yet: the first must be set up"`
	Refused *Refused `json:"refused,omitempty" doc:"why the operation in the query would be refused"`
}

// Pending says which second steps an account has.
type Pending struct {
	TOTP     bool `json:"totp"`
	Passkeys bool `json:"passkeys"`
}

// Refused is why an operation would be refused.
type Refused struct {
	Status int    `json:"status" doc:"of HTTP"`
	Type   string `json:"type" doc:"urn:latchkey:problem:sign-in, role or step"`
	Fresh  string `json:"fresh,omitempty" enum:"confirmed,second" doc:"how recent the second step must be, if the type is step"`
	Detail string `json:"detail"`
}

// SessionQuery asks about an operation.
type SessionQuery struct {
	Operation string `query:"operation" maxLength:"64" doc:"id of an operation. If its need depends on a value in the body, add a space and the value"`
}

// Credentials are how somebody signs in: with a name and a password, or with a passkey.
type Credentials struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	Passkey  string `json:"passkey,omitempty" doc:"what a passkey has signed, as the browser gives it in JSON"`
}

// Proof is how somebody proves that it is still them. One field is set.
type Proof struct {
	Passkey  string `json:"passkey,omitempty" doc:"what a passkey has signed, as the browser gives it in JSON"`
	Code     string `json:"code,omitempty" doc:"a one-time code"`
	Password string `json:"password,omitempty" doc:"if the account has no second step"`
}

// NewOwnPassword asks to change the password of the caller's account.
type NewOwnPassword struct {
	Old string `json:"old"`
	New string `json:"new" doc:"10 to 256 bytes of text"`
}

// MadePasskey is a passkey that a browser has just made.
type MadePasskey struct {
	Label string `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	Made  string `json:"made" doc:"the browser's answer, in JSON"`
}

// Operations on one's own sign-in.
var (
	GetSession = declare[SessionQuery, Session](publicly, http.MethodGet, "/v1/session", "get-session",
		"Get who has signed in, and whether they may call an operation now")
	GetClient = declare[Nothing, account.Client](anyone, http.MethodGet, account.ClientPath, "get-client",
		"Get the account that the visitor's requests are counted for. It changes nothing")
	SignIn = declare[Body[Credentials], Session](publicly, http.MethodPost, "/v1/session", "sign-in",
		"Sign in with a name and a password, or with a passkey")
	SignInSecond = declare[Body[Proof], Session](publicly,
		http.MethodPost, "/v1/session/second", "sign-in-second",
		"Give the second step after a right password")
	AskPasskey = declare[Nothing, any](publicly, http.MethodPost, "/v1/session/passkey", "ask-passkey",
		"Get a challenge that a browser signs with a passkey")
	Confirm = declare[Body[Proof], Session](signedIn, http.MethodPost, "/v1/session/step", "confirm",
		"Give a second step again, or the password if the account has none")
	SignOutHere = declare[Nothing, Session](signedIn, http.MethodDelete, "/v1/session", "sign-out-here",
		"Sign out in this browser")
	ChangePassword = declare[Body[NewOwnPassword], Account](again,
		http.MethodPut, "/v1/session/password", "change-password",
		"Change the caller's own password, and sign every other browser out")
	AskNewPasskey = declare[Nothing, any](signedIn,
		http.MethodPost, "/v1/session/passkeys/new", "ask-new-passkey",
		"Get the options for a new passkey")
	AddOwnPasskey = declare[Body[MadePasskey], Account](again,
		http.MethodPost, "/v1/session/passkeys", "add-own-passkey",
		"Add the passkey that the browser made to the caller's account")
)
