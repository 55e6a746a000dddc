package mqtt

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// FuzzParsePackets checks that only whole packets pass, unchanged, and that the library can read
// each of them.
func FuzzParsePackets(f *testing.F) {
	f.Add([]byte(greeting + "\x30\x08\x00\x01a\x00text\x40\x02\x00\x01" +
		"\x90\x04\x00\x01\x00\x01\xd0\x00\xe0\x00"))
	f.Add([]byte("\x20\x09\x00\x00\x06\x21\x00\x14\x22\x00\x0a\x32\x07\x00\x01a\x00\x01\x00x"))
	f.Add([]byte("\x20\x02\x00\x01"))
	f.Add([]byte(greeting + "\x30\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		w := &wire{in: bufio.NewReader(bytes.NewReader(sent))}
		var passed []byte
		for {
			packet, err := w.readPacket()
			if err != nil {
				break
			}
			passed = append(passed, packet...)
		}
		if !bytes.HasPrefix(sent, passed) {
			t.Fatalf("%x was sent and %x passed on", sent, passed)
		}
		for in := bytes.NewReader(passed); in.Len() > 0; {
			if _, err := packets.ReadPacket(in); err != nil {
				t.Fatalf("the library cannot read what was passed on: %v", err)
			}
		}
	})
}
