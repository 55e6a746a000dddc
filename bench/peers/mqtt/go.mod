module latchkey/bench/peers/mqtt

go 1.26.0

replace latchkey => ../../..

require (
	github.com/eclipse/paho.mqtt.golang v1.5.1
	latchkey v0.0.0
)

require (
	github.com/fxamacker/cbor/v2 v2.10.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/x448/float16 v0.8.4 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.25.0 // indirect
)
