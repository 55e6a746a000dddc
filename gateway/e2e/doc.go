// Package e2e tests a whole gateway, with real DTLS sessions and a real store: its clients are
// simulated nodes, coap-client, the firmware under QEMU and browsers, and it meets floods, lossy
// networks, full disks and power cuts. It holds tests only.
package e2e
