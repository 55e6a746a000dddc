package record

import (
	"latchkey/gateway/access"
	"latchkey/keys"
)

// PolicyChange is a change of the policy that is durable.
type PolicyChange struct {
	Seq           uint64 // of its event
	Hash          keys.Hash
	Before, After *access.Policy
	Changes       []access.Change
}
