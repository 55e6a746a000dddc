package api

import "net/http"

// Setup tells whether the console waits for its first account.
type Setup struct {
	Needed bool   `json:"needed" doc:"there is no account yet"`
	URL    string `json:"url,omitempty" doc:"where the console is, if it runs"`
}

// SetupCode lets somebody on the gateway's machine make an owner's account, once.
type SetupCode struct {
	Code string `json:"code" example:"abcd-efgh-jkmn-pqrs"`
}

// SetUpRequest asks for an owner's account.
type SetUpRequest struct {
	Code     string `json:"code" maxLength:"64" doc:"dashes and spaces are ignored, upper and lower case are the same"`
	Name     string `json:"name" doc:"name of a new account, or of one whose password, passkeys or phone were lost"`
	Password string `json:"password" doc:"10 to 256 bytes of text"`
}

// Operations that make the first account.
var (
	GetSetup = declare[Nothing, Setup](publicly, http.MethodGet, "/v1/setup", "get-setup",
		"Check whether the console waits for its first account, and where it is")
	MintSetupCode = declare[Nothing, SetupCode](onMachine,
		http.MethodPost, "/v1/setup/code", "mint-setup-code",
		"Mint the code that makes an owner. "+
			"It is good for a day and for one account, and replaces the code before")
	SetUp = declare[Body[SetUpRequest], Account](publicly, http.MethodPost, "/v1/setup", "set-up",
		"Make an owner's account with the code, or turn an existing account "+
			"back into an owner's with only this password. "+
			"A visitor of the website is then signed in with it")
)
