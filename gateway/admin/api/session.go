package api

import (
	"net/http"

	"latchkey/gateway/account"
)

// Session is who makes a request through the website, and whether they may do what is asked about.
type Session struct {
	Account *Account `json:"account,omitempty" doc:"that has signed in; left out if none has"`
	Local   bool     `json:"local,omitempty" doc:"the visitor is on a network where doors open without a second step"`
	Pending *Pending `json:"pending,omitempty" doc:"the password was right, and one of these is due"`
	SetUp   bool     `json:"setUp,omitempty" doc:"there is no account yet: the first is to be set up"`
	Refused *Refused `json:"refused,omitempty" doc:"why the operation that was asked about would be refused"`
}

// Pending is which second steps an account has.
type Pending struct {
	TOTP     bool `json:"totp"`
	Passkeys bool `json:"passkeys"`
}

// Refused is why an operation would be refused.
type Refused struct {
	Status int    `json:"status" doc:"of HTTP"`
	Type   string `json:"type" doc:"urn:latchkey:problem:sign-in, role or step"`
	Fresh  string `json:"fresh,omitempty" enum:"confirmed,second" doc:"how lately a second step must have been given, where the type is step"`
	Detail string `json:"detail"`
}

// SessionQuery asks about an operation.
type SessionQuery struct {
	Operation string `query:"operation" maxLength:"64" doc:"id of an operation; where it needs different things for different values in its body, a space and the value follow"`
}

// Credentials are what somebody signs in with: a name and a password, or a passkey.
type Credentials struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	Passkey  string `json:"passkey,omitempty" doc:"what a passkey has signed, as the browser gives it in JSON"`
}

// Proof is what somebody shows to prove that it is still them: one of these.
type Proof struct {
	Passkey  string `json:"passkey,omitempty" doc:"what a passkey has signed, as the browser gives it in JSON"`
	Code     string `json:"code,omitempty" doc:"a one-time code"`
	Password string `json:"password,omitempty" doc:"where the account has no second step"`
}

// NewOwnPassword asks for another password of whoever has signed in.
type NewOwnPassword struct {
	Old string `json:"old"`
	New string `json:"new" doc:"10 to 256 bytes of text"`
}

// MadePasskey is a passkey that a browser has just made.
type MadePasskey struct {
	Label string `json:"label" doc:"1 to 64 bytes of printable text, to tell it apart"`
	Made  string `json:"made" doc:"what the browser gives, in JSON"`
}

// Operations of whoever signs in.
var (
	GetSession = declare[SessionQuery, Session](publicly, http.MethodGet, "/v1/session", "get-session",
		"Who has signed in, and whether they may call an operation now")
	GetClient = declare[Nothing, account.Client](anyone, http.MethodGet, account.ClientPath, "get-client",
		"On whose budget the visitor's requests go. It changes nothing")
	SignIn = declare[Body[Credentials], Session](publicly, http.MethodPost, "/v1/session", "sign-in",
		"Sign in with a name and a password, or with a passkey")
	SignInSecond = declare[Body[Proof], Session](publicly,
		http.MethodPost, "/v1/session/second", "sign-in-second",
		"Give the second step that a right password is waiting for")
	AskPasskey = declare[Nothing, any](publicly, http.MethodPost, "/v1/session/passkey", "ask-passkey",
		"What a browser is to sign with a passkey")
	Confirm = declare[Body[Proof], Session](signedIn, http.MethodPost, "/v1/session/step", "confirm",
		"Give a second step again, or the password where there is none")
	SignOutHere = declare[Nothing, Session](signedIn, http.MethodDelete, "/v1/session", "sign-out-here",
		"Sign out in this browser")
	ChangePassword = declare[Body[NewOwnPassword], Account](again,
		http.MethodPut, "/v1/session/password", "change-password",
		"Change the password of whoever has signed in, and sign every other browser out")
	AskNewPasskey = declare[Nothing, any](signedIn,
		http.MethodPost, "/v1/session/passkeys/new", "ask-new-passkey",
		"What passkey a browser is to make")
	AddOwnPasskey = declare[Body[MadePasskey], Account](again,
		http.MethodPost, "/v1/session/passkeys", "add-own-passkey",
		"Give whoever has signed in the passkey that their browser made")
)
