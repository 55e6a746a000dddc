package serving

import (
	"fmt"
	"net"
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/cli/settings"
	"latchkey/cli/terminal"
	"latchkey/gateway"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
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
	terminal.PrintLine(c.App.Writer, "website: "+url+elsewhere(c.String("console"), url))
	if g.ConsoleCertificate().CA() != nil {
		terminal.PrintLine(c.App.Writer, "  its certificate is from the gateway's own CA: "+
			"latchkey console ca prints what browsers and phones must trust")
	}
	if !setup.Needed {
		return nil
	}
	made, err := client.Call(c.Context, send, api.MintSetupCode, api.Nothing{})
	if err != nil {
		return err
	}
	terminal.PrintLine(c.App.Writer,
		fmt.Sprintf("  nobody can sign in yet: make the first account at %ssetup with the code %s",
			url, made.Code))
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
