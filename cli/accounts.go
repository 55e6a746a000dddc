package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
)

func accountCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", need: []string{"role"}, makes: true,
			usage: "add an account for the website; its password is read from standard input",
			flags: []cli.Flag{&cli.StringFlag{Name: "role", Usage: terminal.JoinOr(roleNames())}},
			run:   addAccount,
		},
		{
			name: "list", usage: "list the accounts of the website",
			run: func(x *call) error {
				const head = "NAME ROLE STATUS STEPS TOKENS ID"
				return list(x, api.ListAccounts, api.ListQuery{}, head, accountRow)
			},
		},
		{
			name: "role", args: "NAME ROLE",
			usage: "give an account another role: " + terminal.JoinOr(roleNames()),
			run: func(x *call) error {
				return changeAccount(x, api.AccountChange{Role: x.arg(1)}, func(a api.Account) string {
					return a.Name + " is " + string(a.Role) + " now"
				})
			},
		},
		{
			name: "password", args: "NAME",
			usage: "give an account a new password, which is read from standard input",
			run: func(x *call) error {
				password, err := x.password()
				if err != nil {
					return err
				}
				return changeAccount(x, api.AccountChange{Password: &password}, func(a api.Account) string {
					return a.Name + " has a new password, and is signed out everywhere"
				})
			},
		},
		ability("disable", "disable an account, and sign it out everywhere", true),
		ability("enable", "enable a disabled account", false),
		{
			name: "sign-out", args: "NAME", usage: "sign an account out everywhere",
			run: func(x *call) error {
				return ask(x, api.SignOut, api.At(x.arg(0)), func(a api.Account) string {
					return a.Name + " is signed out everywhere"
				})
			},
		},
		removal("NAME", "remove an account with its passkeys and tokens", api.RemoveAccount),
	}
}

func roleNames() (out []string) {
	for _, r := range accounts.Roles {
		out = append(out, string(r))
	}
	return out
}

func accountRow(a api.Account) []string {
	status := "active"
	if a.Disabled {
		status = "disabled"
	}
	return []string{a.Name, string(a.Role), status, stepsOf(a), strconv.Itoa(len(a.Tokens)), string(a.ID)}
}

// stepsOf lists the sign-in steps of an account.
func stepsOf(a api.Account) string {
	var s []string
	if a.Password {
		s = append(s, "password")
	}
	if a.TOTP {
		s = append(s, "code")
	}
	if n := len(a.Passkeys); n > 0 {
		s = append(s, fmt.Sprintf("%d passkeys", n))
	}
	return strings.Join(s, ", ")
}

func ability(name, usage string, off bool) spec {
	return spec{name: name, args: "NAME", usage: usage, run: func(x *call) error {
		return changeAccount(x, api.AccountChange{Disabled: &off}, func(a api.Account) string {
			if a.Disabled {
				return a.Name + " is disabled"
			}
			return a.Name + " is not disabled"
		})
	}}
}

func addAccount(x *call) error {
	password, err := x.password()
	if err != nil {
		return err
	}
	in := api.NewAccount{Name: x.arg(0), Role: x.String("role"), Password: password}
	return ask(x, api.AddAccount, api.With(in), func(a api.Account) string {
		return fmt.Sprintf("added account %s, %s", a.Name, a.Role)
	})
}

func changeAccount(x *call, change api.AccountChange, line func(api.Account) string) error {
	return ask(x, api.ChangeAccount, api.AtWith(x.arg(0), change), line)
}

func (x *call) password() (string, error) { return x.secret("password") }

// secret reads a new secret from standard input.
func (x *call) secret(what string) (string, error) { return terminal.ReadSecret(x.Context, what, true) }
