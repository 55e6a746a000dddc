package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/certificate"
)

func consoleCommands() []spec {
	return []spec{
		{name: "setup", live: true, run: printSetup,
			usage: "print a set-up code for the website: it makes the first account, " +
				"or lets an owner back in who has lost password and phone"},
		{name: "ca", usage: "print the CA certificate that browsers and phones must trust for the website",
			run: printCA},
	}
}

func printSetup(x *call) error {
	setup, _, err := callAPI(x, api.GetSetup, api.Nothing{})
	if err != nil {
		return err
	}
	if setup.URL == "" {
		return errors.New("the gateway runs without its website: start it without --console off")
	}
	return ask(x, api.MintSetupCode, api.Nothing{}, func(c api.SetupCode) string {
		return "set-up code: " + c.Code + "\nType it at " + setup.URL +
			"setup within a day. It works for one account. Earlier codes are void."
	})
}

func printCA(x *call) error {
	dir, err := filepath.Abs(x.String(dataFlag))
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, certificate.CAFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no CA in %s: "+
			"latchkey serve makes it at its start, unless it is given a certificate", dir)
	case err != nil:
		return fmt.Errorf("console CA: %w", err)
	}
	if x.json() {
		raw, err := json.Marshal(map[string]string{"ca": string(pem)})
		if err != nil {
			return err
		}
		return x.show(raw, nil)
	}
	_, err = x.App.Writer.Write(pem)
	return err
}
