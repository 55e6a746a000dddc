module latchkey/bench/peers/dtls2

go 1.26.0

// go-coap's last release on this line asks for a commit of it that no release of dtls/v2 holds; the same replacement stands in its own go.mod.
replace github.com/pion/dtls/v2 => github.com/pion/dtls/v2 v2.2.8-0.20240501061905-2c36d63320a0

require (
	github.com/pion/dtls/v2 v2.2.8-0.20240501061905-2c36d63320a0
	github.com/plgd-dev/go-coap/v3 v3.3.4
)

require (
	github.com/dsnet/golib/memfile v1.0.0 // indirect
	github.com/hashicorp/errwrap v1.1.0 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	github.com/pion/logging v0.2.2 // indirect
	github.com/pion/transport/v3 v3.0.2 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/crypto v0.22.0 // indirect
	golang.org/x/exp v0.0.0-20240416160154-fe59bbe5cc7f // indirect
	golang.org/x/net v0.24.0 // indirect
	golang.org/x/sync v0.7.0 // indirect
	golang.org/x/sys v0.19.0 // indirect
)
