// Package e2e tests a whole gateway: real DTLS sessions, a real store, and whoever speaks with it,
// such as coap-client, the firmware under QEMU, a browser, or somebody who floods or cuts the
// power. It holds tests only.
package e2e
