package record

import "bytes"

// HelloRequest is the whole record of a HelloRequest in the clear (RFC 5246 §7.4.1.1). Its sequence
// number is 0: a peer in its handshake has already had that number from us and drops it as a
// replay. Do not change the slice.
var HelloRequest = []byte{Handshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, HandshakeHeaderSize,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// IsHelloRequest tells whether a record is a HelloRequest, of either version and any number.
func IsHelloRequest(r []byte) bool {
	return len(r) == len(HelloRequest) && r[0] == Handshake && r[3] == 0 && r[4] == 0 &&
		bytes.Equal(r[HeaderSize-2:], HelloRequest[HeaderSize-2:])
}

// IsLost tells whether a record that belongs to no association may be answered with a HelloRequest.
// It must be application data of epoch 1 or above: if records of epoch 0 were answered, an attacker
// could make two gateways answer each other. And it must be at least as long as the answer.
func IsLost(r []byte) bool {
	return (r[0] == ApplicationData || r[0] == TLS12CID) && (r[3] != 0 || r[4] != 0) &&
		len(r) >= len(HelloRequest)
}
