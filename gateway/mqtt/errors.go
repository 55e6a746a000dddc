package mqtt

import (
	"errors"
	"fmt"

	"github.com/eclipse/paho.golang/packets"

	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/text"
)

// ErrOffline is returned for a message while there is no connection. Nothing is kept for later.
var ErrOffline = errors.New("mqtt: not connected")

// ErrLost is returned for a message that may have arrived: the connection ended before the server
// has acknowledged it.
var ErrLost = errors.New("mqtt: the connection was lost before the server acknowledged the message")

// Reason codes that callers tell apart (MQTT 5, section 2.4).
const (
	NotAuthorized  = 0x87
	TopicInvalid   = 0x90
	PacketTooLarge = 0x95
	QuotaExceeded  = 0x97
	PayloadInvalid = 0x99
)

// Refusal is a server's answer that it does not do what it was asked for.
type Refusal struct {
	What string // what was refused, such as "the message to latchkey/x"
	Code byte   // MQTT 5, section 2.4
	Says string // what the server adds in words; shortened and printable
}

func (r *Refusal) Error() string {
	why := meanings[r.Code]
	if why == "" {
		why = fmt.Sprintf("reason code 0x%02x", r.Code)
	}
	if r.Says != "" {
		why += ", " + text.Quote(r.Says)
	}
	return fmt.Sprintf("mqtt: the server refuses %s: %s", r.What, why)
}

// refuse makes the error for a reason code. says comes from the server.
func refuse(what string, code byte, says string) error {
	return &Refusal{What: what, Code: code, Says: text.Shorten(says)}
}

var meanings = map[byte]string{
	0x80: "it does not say why",
	0x81: "it cannot read what we sent",
	0x82: "it says that we broke the protocol",
	0x83: "for a reason of its own",
	packets.ConnackUnsupportedProtocolVersion: "it does not speak MQTT 5, which latchkey needs",
	packets.ConnackInvalidClientID:            "it does not accept the client id",
	packets.ConnackBadUsernameOrPassword:      "wrong user or password",
	NotAuthorized:                             "not authorized",
	packets.ConnackServerUnavailable:          "it is not available",
	packets.ConnackServerBusy:                 "it is busy",
	packets.ConnackBanned:                     "we are banned",
	packets.DisconnectServerShuttingDown:      "it is shutting down",
	packets.ConnackBadAuthenticationMethod:    "it wants another way to authenticate",
	packets.DisconnectKeepAliveTimeout:        "it heard nothing from us for too long",
	packets.DisconnectSessionTakenOver:        "another program uses the same client id",
	0x8f:                                      "it does not accept the topic filter",
	TopicInvalid:                              "it does not accept the topic",
	0x93:                                      "too many messages at once",
	PacketTooLarge:                            "too large",
	0x96:                                      "too many messages",
	QuotaExceeded:                             "a limit is exceeded",
	0x98:                                      "somebody ended the connection there",
	PayloadInvalid:                            "it does not accept the form of the message",
	packets.ConnackRetainNotSupported:         "it keeps no retained messages, which are needed",
	packets.ConnackQoSNotSupported:            "it acknowledges no messages (QoS 1), which is needed",
	packets.ConnackUseAnotherServer:           "another server is to be used for now",
	packets.ConnackServerMoved:                "it has moved for good",
	packets.ConnackConnectionRateExceeded:     "too many connections",
}

// lasting are the reason codes after which a later try fails too, unless somebody changes something.
var lasting = map[byte]bool{
	packets.ConnackUnsupportedProtocolVersion: true, packets.ConnackInvalidClientID: true,
	packets.ConnackBadUsernameOrPassword: true, NotAuthorized: true, packets.ConnackBanned: true,
	packets.ConnackBadAuthenticationMethod: true, 0x8f: true, TopicInvalid: true, PacketTooLarge: true,
	PayloadInvalid: true, packets.ConnackRetainNotSupported: true, packets.ConnackQoSNotSupported: true,
	packets.ConnackServerMoved: true,
}

// IsPermanent tells whether a later try fails too, unless somebody changes something: the user, the
// rights, a certificate, the address, the server.
func IsPermanent(err error) bool {
	var r *Refusal
	if errors.As(err, &r) {
		return lasting[r.Code]
	}
	return errors.Is(err, errOld) || errors.Is(err, dial.ErrAddress) || dial.IsCertificate(err)
}
