package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/cli/settings"
	"latchkey/cli/terminal"
	"latchkey/gateway"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/certificate"
)

// welcome prints where the website is. While there is no account, it also prints the code that
// makes the first one.
func welcome(c *cli.Context, g *gateway.Gateway) error {
	url := g.ConsoleURL()
	if url == "" {
		return nil
	}
	send := client.InProcess(g.AdminHandler()).RoundTrip
	setup, err := client.Call(c.Context, send, api.GetSetup, api.Nothing{})
	if err != nil {
		return err
	}
	printLine(c.App.Writer, "website: "+url+elsewhere(c.String("console"), url))
	if g.ConsoleCertificate().CA() != nil {
		printLine(c.App.Writer, "  its certificate is from the gateway's own CA: "+
			"latchkey console ca prints what browsers and phones must trust")
	}
	if !setup.Needed {
		return nil
	}
	made, err := client.Call(c.Context, send, api.MintSetupCode, api.Nothing{})
	if err != nil {
		return err
	}
	printLine(c.App.Writer, fmt.Sprintf("  nobody can sign in yet: make the first account at %ssetup "+
		"with the code %s", url, made.Code))
	return nil
}

// elsewhere returns the address under which other machines may reach a website that is called
// localhost here.
func elsewhere(listen, url string) string {
	at, err := net.ResolveTCPAddr("tcp", listen)
	_, port, local := strings.Cut(strings.TrimSuffix(url, "/"), "https://localhost:")
	hosts := settings.MachineAddrs()
	if err != nil || at.IP != nil && !at.IP.IsUnspecified() || !local || len(hosts) == 0 ||
		hosts[0] == "localhost" {
		return ""
	}
	for i, host := range hosts {
		hosts[i] = "https://" + net.JoinHostPort(host, port) + "/"
	}
	return " (from other machines " + terminal.JoinOr(hosts) + ")"
}

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
