package api

import "net/http"

// TOTPSecret is a fresh secret of RFC 6238. It is not stored yet.
type TOTPSecret struct {
	Secret string `json:"secret" doc:"in base32, to type into a phone"`
	URI    string `json:"uri" doc:"the same for a QR code"`
}

// TOTPChange turns on one-time codes for an account.
type TOTPChange struct {
	Secret string `json:"secret" maxLength:"128" doc:"in base32"`
	Code   string `json:"code" maxLength:"16" doc:"the code that the phone shows now, which proves that it has the secret"`
}

// Operations on one-time codes.
var (
	MakeTOTP = declare[ByRef, TOTPSecret](ownAgain, http.MethodPost, "/v1/accounts/{ref}/totp", "make-totp",
		"Make a fresh secret for one-time codes, without storing it")
	SetTOTP = declare[RefBody[TOTPChange], Account](ownAgain,
		http.MethodPut, "/v1/accounts/{ref}/totp", "set-totp",
		"Turn on one-time codes for an account, with this secret")
	RemoveTOTP = declare[ByRef, Account](ownAgain,
		http.MethodDelete, "/v1/accounts/{ref}/totp", "remove-totp",
		"Turn off one-time codes for an account")
)
