package provision

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mdp/qrterminal/v3"
	"rsc.io/qr"
)

// Format is a way to write a bundle.
type Format string

const (
	Text       Format = "text"        // for people
	JSON       Format = "json"        // for ParseBundle
	CHeader    Format = "c-header"    // for firmware that is built with its key
	NVSCSV     Format = "nvs-csv"     // for ESP-IDF's nvs_partition_gen.py
	CoAPClient Format = "coap-client" // command lines for libcoap's test client
	QR         Format = "qr"          // the JSON as a picture for a terminal
)

// Formats lists every format, in the order in which they are shown.
var Formats = []Format{Text, JSON, CHeader, NVSCSV, CoAPClient, QR}

// ParseFormat returns the format of that name.
func ParseFormat(s string) (Format, error) {
	if f := Format(s); slices.Contains(Formats, f) {
		return f, nil
	}
	return "", fmt.Errorf("provision: unknown format %q: want one of %v", s, Formats)
}

// Write writes b, with its secret in the clear, to w in one piece. If b is malformed or cannot be
// written in that format, it writes nothing.
func (b Bundle) Write(w io.Writer, f Format) error {
	if err := b.Check(); err != nil {
		return err
	}
	var out []byte
	var err error
	switch f {
	case Text:
		out = b.text()
	case JSON:
		out, err = b.json()
		out = append(out, '\n')
	case CHeader:
		out = b.cHeader()
	case NVSCSV:
		out, err = b.nvsCSV()
	case CoAPClient:
		out, err = b.coapClient()
	case QR:
		out, err = b.qr()
	default:
		_, err = ParseFormat(string(f))
	}
	if err != nil {
		return err
	}
	if _, err = w.Write(out); err != nil {
		return fmt.Errorf("provision: write %s: %w", f, err)
	}
	return nil
}

func (b Bundle) text() []byte {
	var out bytes.Buffer
	line := func(name, value string) { fmt.Fprintf(&out, "%-9s %s\n", name, value) }
	line("device", b.Device)
	line("kind", string(b.Kind))
	if len(b.Targets) > 0 {
		line("targets", strings.Join(b.Targets, ", "))
	}
	line("gateway", b.Gateway)
	line("identity", string(b.Identity))
	line("secret", b.Secret.Reveal())
	out.WriteString("\nThis secret is shown once. Put it into the device now; if it is lost: latchkey device rekey.\n")
	return out.Bytes()
}

func (b Bundle) json() ([]byte, error) {
	return json.Marshal(struct {
		Device   string   `json:"device"`
		Kind     string   `json:"kind"`
		Targets  []string `json:"targets"`
		Gateway  string   `json:"gateway"`
		Identity string   `json:"identity"`
		Secret   string   `json:"secret"`
	}{b.Device, string(b.Kind), append([]string{}, b.Targets...), b.Gateway, string(b.Identity),
		b.Secret.Reveal()})
}

func (b Bundle) cHeader() []byte {
	host, port, _ := b.address() // checked
	var out bytes.Buffer
	out.WriteString("/* Holds the device's secret: keep it out of version control. */\n#ifndef LK_BUNDLE_H\n#define LK_BUNDLE_H\n\n")
	text := func(name, value string) { fmt.Fprintf(&out, "#define %s %s\n", name, quoteC(value)) }
	text("LK_DEVICE", b.Device)
	text("LK_KIND", string(b.Kind))
	fmt.Fprintf(&out, "#define LK_KIND_%s 1\n", strings.ToUpper(string(b.Kind)))
	text("LK_TARGETS", strings.Join(b.Targets, ","))
	text("LK_GATEWAY", b.Gateway)
	text("LK_GATEWAY_HOST", host)
	fmt.Fprintf(&out, "#define LK_GATEWAY_PORT %d\n", port)
	text("LK_IDENTITY", string(b.Identity))
	text("LK_SECRET", b.Secret.Reveal())
	out.WriteString("\n#endif\n")
	return out.Bytes()
}

// quoteC writes a C string literal of the basic character set. Octal escapes end after three
// digits, whatever follows; hex ones would not. '?' is escaped because two of them begin a
// trigraph.
func quoteC(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '?':
			out.Write([]byte{'\\', c})
		case c < ' ' || c > '~':
			fmt.Fprintf(&out, `\%03o`, c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// nvsCSV follows the CSV form of ESP-IDF's NVS partition generator; names there have at most 15
// characters.
func (b Bundle) nvsCSV() ([]byte, error) {
	var out bytes.Buffer
	c := csv.NewWriter(&out)
	rows := [][]string{{"key", "type", "encoding", "value"}, {"latchkey", "namespace", "", ""}}
	for _, kv := range [][2]string{
		{"identity", string(b.Identity)}, {"secret", b.Secret.Reveal()}, {"gateway", b.Gateway},
		{"kind", string(b.Kind)}, {"device", b.Device}, {"targets", strings.Join(b.Targets, ",")},
	} {
		if kv[1] != "" { // an empty string need not be stored
			rows = append(rows, []string{kv[0], "data", "string", kv[1]})
		}
	}
	if err := c.WriteAll(rows); err != nil {
		return nil, fmt.Errorf("provision: nvs-csv: %w", err)
	}
	return out.Bytes(), nil
}

// qr draws the JSON in half blocks, so that ParseBundle reads what a camera read.
func (b Bundle) qr() ([]byte, error) {
	text, err := b.json()
	if err != nil {
		return nil, err
	}
	if _, err := qr.Encode(string(text), qr.L); err != nil { // the drawing library would ignore this error
		return nil, fmt.Errorf("provision: qr: the bundle of %s is too long for a code", b.Device)
	}
	var out bytes.Buffer
	qrterminal.GenerateWithConfig(string(text), qrterminal.Config{
		Level: qr.L, Writer: &out, HalfBlocks: true, QuietZone: qrterminal.QUIET_ZONE,
		BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE,
		BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK,
	})
	fmt.Fprintf(&out, "%s %s %s: this code holds the secret and is shown once.\n", b.Kind, b.Device,
		b.Identity)
	return out.Bytes(), nil
}
