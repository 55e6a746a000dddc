package admin

import (
	"context"
	"net/http"
)

// PasswordCheck asks whether a password is an account's.
type PasswordCheck struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// AccountChecked is whether what was sent is an account's.
type AccountChecked struct {
	Fits    bool     `json:"fits"`
	Account *Account `json:"account,omitempty" doc:"only if it fits"`
}

func (a *api) passwordRoutes() {
	handle(a, onMachine, http.MethodPost, "/v1/accounts/check-password", "check-password",
		"Whether a password is an account's. An unknown name, a disabled account and a wrong password cannot be told apart",
		func(ctx context.Context, in *struct{ Body PasswordCheck }) (*body[AccountChecked], error) {
			of, fits, err := a.accounts.CheckPassword(ctx, in.Body.Name, in.Body.Password)
			if err != nil || !fits {
				return answer(AccountChecked{}, err)
			}
			v := viewAccount(nil, of)
			return answer(AccountChecked{Fits: true, Account: &v}, nil)
		})
}
