package natsout

import (
	"bufio"
	"bytes"
	"io"
	"testing"
)

// FuzzParseLines checks that what passes is a beginning of what was sent, and whole lines.
func FuzzParseLines(f *testing.F) {
	f.Add([]byte(greeting + "PONG\r\nMSG _INBOX.a.b 1 12\r\n{\"stream\":1}\r\nPING\r\n+OK\r\n-ERR 'x'\r\n"))
	f.Add([]byte(greeting + "HMSG a 1 b 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"))
	f.Add([]byte("MSG a 1 99999999999\r\nx"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		w := &wire{in: bufio.NewReaderSize(bytes.NewReader(sent), maxLine)}
		passed, err := io.ReadAll(w)
		if !bytes.HasPrefix(sent, passed) {
			t.Fatalf("%q was sent and %q passed on", sent, passed)
		}
		if err == nil && len(passed) != len(sent) {
			t.Fatalf("%q was sent and only %q passed on", sent, passed)
		}
		if len(passed) > 0 && err == nil && !bytes.HasSuffix(passed, []byte("\r\n")) {
			t.Fatalf("%q passed on, which is not whole", passed)
		}
	})
}
