package api

import "latchkey/gateway/audit"

// Ref is a record in an answer: its id to refer to it, its name to read.
type Ref = audit.Named
