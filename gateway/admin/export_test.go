package admin

import "latchkey/gateway/account"

// Accounts is the registry of accounts behind a handler, for tests of what no operation shows.
func (h *Handler) Accounts() *account.Registry { return h.accounts }
