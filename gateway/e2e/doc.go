// Package e2e tests a whole gateway: with real DTLS sessions and a real store, against coap-client,
// the firmware under QEMU, browsers, floods and power cuts. It holds tests only.
package e2e
