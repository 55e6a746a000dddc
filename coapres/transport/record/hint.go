package record

import "bytes"

// HelloRequest is a HelloRequest in the clear (RFC 5246 §7.4.1.1), the whole record. Its number is
// 0: a stack that is in its handshake has had that one from us, and drops it as a repeat. Nobody
// may change it.
var HelloRequest = []byte{Handshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, HandshakeHeaderSize,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// IsHelloRequest tells whether a record is a HelloRequest, of either version and any number.
func IsHelloRequest(r []byte) bool {
	return len(r) == len(HelloRequest) && r[0] == Handshake && r[3] == 0 && r[4] == 0 &&
		bytes.Equal(r[HeaderSize-2:], HelloRequest[HeaderSize-2:])
}

// IsLost tells whether a record that belongs to no association may be answered with a
// HelloRequest. Only application data of epoch 1 and above may: if anything of epoch 0 were
// answered, two gateways could be made to answer each other. And only what is at least as long as
// the answer.
func IsLost(r []byte) bool {
	return (r[0] == ApplicationData || r[0] == TLS12CID) && (r[3] != 0 || r[4] != 0) &&
		len(r) >= len(HelloRequest)
}
