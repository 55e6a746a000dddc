package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Head is the newest event, and with it the whole chain.
type Head struct {
	Seq  uint64    `json:"seq"`
	Hash keys.Hash `json:"hash"`
	Text string    `json:"text" doc:"both in one word, to keep off the machine and verify against later"`
}

// VerifyRequest asks whether the chain holds.
type VerifyRequest struct {
	Head string `json:"head,omitempty" doc:"a head kept elsewhere, SEQ:HASH: only with one is a store found that was cut or rolled back as a whole"`
}

// Verified is what the check found.
type Verified struct {
	OK      bool      `json:"ok"`
	Seq     uint64    `json:"seq" doc:"newest event"`
	Problem string    `json:"problem,omitempty" doc:"names the first bad file or event"`
	At      time.Time `json:"at,omitzero" doc:"when"`
}

// Operations on the chain of events.
var (
	GetHead = declare[Nothing, Head](toLook, http.MethodGet, "/v1/audit/head", "get-head",
		"The newest event's number and hash")
	VerifyEvents = declare[Body[VerifyRequest], Verified](toLook,
		http.MethodPost, "/v1/audit/verify", "verify-events",
		"Check the whole chain of events")
)

// ParseHead reads SEQ:HASH.
func ParseHead(s string) (uint64, keys.Hash, error) {
	var hash keys.Hash
	left, right, _ := strings.Cut(strings.TrimSpace(s), ":")
	seq, err := strconv.ParseUint(left, 10, 64)
	if err != nil || hash.UnmarshalText([]byte(right)) != nil {
		return 0, keys.Hash{}, fmt.Errorf("head: %w: want SEQ:HASH as audit head prints it",
			access.ErrInvalid)
	}
	return seq, hash, nil
}
