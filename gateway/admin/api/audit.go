package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/keys"
)

// Head identifies the newest event, and so the whole chain before it.
type Head struct {
	Seq  uint64    `json:"seq"`
	Hash keys.Hash `json:"hash"`
	Text string    `json:"text" doc:"both in one word. Store it on another machine, to verify the chain against it later"`
}

// VerifyRequest asks whether the chain holds.
type VerifyRequest struct {
	Head string `json:"head,omitempty" doc:"a head that was stored elsewhere, SEQ:HASH. Without one, the check cannot find out that the whole store was truncated or rolled back"`
}

// Verified is the result of a check.
type Verified struct {
	OK      bool          `json:"ok"`
	Seq     uint64        `json:"seq" doc:"newest event"`
	Problem string        `json:"problem,omitempty" doc:"names the first bad file or event"`
	At      time.Time     `json:"at,omitzero" doc:"when"`
	Removed audit.Removed `json:"removed,omitzero" doc:"left out if no event was removed"`
}

// Operations on the chain of events.
var (
	GetHead = declare[Nothing, Head](toLook, http.MethodGet, "/v1/audit/head", "get-head",
		"Get the newest event's number and hash")
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
