package wire_test

import (
	"fmt"

	"latchkey/coapres/wire"
)

// A reader encodes a scan as CBOR and parses the verdict.
func Example() {
	scan := wire.Scan{N: 42, UID: []byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}, Age: -12}
	body, err := scan.Encode(wire.CBOR)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("POST /scan %x\n", body)

	verdict, err := wire.ParseVerdict(wire.CBOR, []byte{0xa2, 0x06, 0x01, 0x07, 0x18, 0x2a})
	fmt.Println(verdict.Verdict, verdict.Last, err)
	// Output:
	// POST /scan a301182a024704a1b2c3d4e580032b
	// granted 42 <nil>
}

// Somebody who tries out a gateway by hand can send JSON.
func ExampleParseScan() {
	scan, err := wire.ParseScan(wire.JSON, []byte(`{"n":1,"uid":"04a1b2c3d4e580"}`))
	fmt.Println(scan.N, len(scan.UID), err)

	_, err = wire.ParseScan(wire.JSON, []byte(`{"n":1}`))
	fmt.Println(err)
	// Output:
	// 1 7 <nil>
	// wire: scan: malformed: uid is missing
}

// A lock answers a command with a receipt: the result, and its new state.
func ExampleParseCommand() {
	body, err := wire.Command{ID: 7, Action: wire.Unlock, Duration: 3000}.Encode(wire.JSON)
	fmt.Println(string(body), err)

	command, err := wire.ParseCommand(wire.JSON, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	state := wire.State{ID: command.ID, On: true, Contact: wire.ContactClosed, Left: command.Duration}
	receipt := wire.Receipt{Result: wire.Done, State: state}
	body, err = receipt.Encode(wire.JSON)
	fmt.Println(string(body), err)
	// Output:
	// {"action":"unlock","id":7,"duration":3000} <nil>
	// {"id":7,"on":true,"contact":"closed","result":"done","left":3000} <nil>
}
