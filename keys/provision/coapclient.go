package provision

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"latchkey/keys"
)

// ErrNoClient is wrapped when the test client cannot play a device: the client serves no resources,
// so nobody can command it.
var ErrNoClient = errors.New("coap-client serves no resources")

// The Content-Format numbers of JSON and of SenML as JSON (RFC 7252 §12.3, RFC 8428 §12.3).
const (
	formatJSON  = 50
	formatSenML = 110
)

// coapClient writes command lines for coap-client-openssl 4.3 that play a device. -B 3 stops it
// when the gateway's window for a scan ends; otherwise it would retransmit for 90 s.
func (b Bundle) coapClient() ([]byte, error) {
	var out bytes.Buffer
	n := 0
	comment := func(s string) { fmt.Fprintf(&out, "# %s\n", s) }
	line := func(format int, payload, path string) {
		host, port, _ := b.address() // checked
		uri := "coaps://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
		args := []string{
			"coap-client-openssl", "-B", "3", "-m", "post", "-t", strconv.Itoa(format), "-u",
			string(b.Identity), "-k", b.Secret.Reveal(),
			"-e", payload, uri,
		}
		for i := range args {
			args[i] = QuoteShell(args[i])
		}
		out.WriteString(strings.Join(args, " ") + "\n")
	}
	// -e decodes percent signs; none of these payloads has one.
	act := func(action, target string) {
		n++
		line(formatJSON, fmt.Sprintf(`{"n":%d,"action":"%s"}`, n, action), "/act/"+target)
	}
	comment("The secret is in the command line, where ps and the shell's history show it: for testing only.")
	switch b.Kind {
	case keys.KindReader:
		comment("n must grow with each scan.")
		line(formatJSON, `{"n":1,"uid":"04a1b2c3d4e580"}`, "/scan")
	case keys.KindSwitch:
		if len(b.Targets) == 0 {
			return nil, malformed("a switch without a target has nothing to ask for")
		}
		comment("n must grow with each line that is sent.")
		for _, t := range b.Targets {
			comment(t + ", if it is a door; if it is a lamp, the second line.")
			act("unlock", t)
			act("toggle", t)
		}
	case keys.KindSensor:
		line(formatSenML, `[{"n":"contact","vb":true}]`, "/report")
	default:
		return nil, fmt.Errorf("provision: coap-client for %s: a %s must answer commands and %w: "+
			"use another format", b.Device, b.Kind, ErrNoClient)
	}
	return out.Bytes(), nil
}
