package protect

import "fmt"

// Alert is the content of an alert record (RFC 5246 §7.2).
type Alert struct{ Level, Description uint8 }

const (
	warning = 1
	fatal   = 2
)

var (
	// CloseNotify ends an association. It is answered once, unless ours went first.
	CloseNotify = Alert{warning, 0}
	// NoRenegotiation answers a ClientHello within an association. Unasked, some clients end.
	NoRenegotiation = Alert{warning, 100}
)

// Fatal returns the fatal alert with this description.
func Fatal(description uint8) Alert { return Alert{fatal, description} }

// ParseAlert reads the content of an alert record. ok is false if it is not one whole alert of a
// level that exists.
func ParseAlert(content []byte) (a Alert, ok bool) {
	if len(content) != 2 || content[0] != warning && content[0] != fatal {
		return Alert{}, false
	}
	return Alert{content[0], content[1]}, true
}

// AppendTo appends the alert's two bytes to b.
func (a Alert) AppendTo(b []byte) []byte { return append(b, a.Level, a.Description) }

// Ends tells whether the association is over after this alert: it is fatal, or a close_notify.
// Other warnings are ignored.
func (a Alert) Ends() bool { return a.Level == fatal || a.Description == CloseNotify.Description }

// alertNames are the descriptions of RFC 5246 §7.2 and RFC 4279 §6 that TLS 1.2 may still send.
var alertNames = map[uint8]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
	30: "decompression_failure", 40: "handshake_failure", 42: "bad_certificate",
	43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired",
	46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied",
	50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
	80: "internal_error", 90: "user_canceled", 100: "no_renegotiation", 110: "unsupported_extension",
	115: "unknown_psk_identity",
}

// String returns a line for the log: "fatal handshake_failure".
func (a Alert) String() string {
	level := "warning"
	if a.Level == fatal {
		level = "fatal"
	}
	name, ok := alertNames[a.Description]
	if !ok {
		name = fmt.Sprintf("alert %d", a.Description)
	}
	return level + " " + name
}
