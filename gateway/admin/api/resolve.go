package api

import "latchkey/gateway/audit"

// Ref names a record in an answer: the id is for requests, the name is for people.
type Ref = audit.Named
