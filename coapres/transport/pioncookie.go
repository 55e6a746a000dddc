package transport

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/pion/dtls/v3"
)

// pion makes its cookie when it makes the association, which is what a flood wants. We make ours
// first and keep nothing; once it has come back, pion has to be told that it was its own. There is
// no door for that: this file writes the one private field, dtls.Conn.state.cookie.

// cookieOffset is where in a dtls.Conn the cookie stands. With cookieErr, pion has changed: then it
// sends cookies of its own, which cost an association each.
var cookieOffset, cookieErr = findCookie(reflect.TypeFor[dtls.Conn]())

func findCookie(conn reflect.Type) (uintptr, error) {
	state, ok := conn.FieldByName("state")
	if !ok || state.Type.Kind() != reflect.Struct {
		return 0, fmt.Errorf("transport: %s has no state", conn)
	}
	cookie, ok := state.Type.FieldByName("cookie")
	if !ok || cookie.Type != reflect.TypeFor[[]byte]() {
		return 0, fmt.Errorf("transport: %s has no cookie", state.Type)
	}
	return state.Offset + cookie.Offset, nil
}

// setCookie makes pion expect this cookie. It must be called in pion's handshake goroutine, between
// its HelloVerifyRequest and its next read.
func setCookie(dc *dtls.Conn, cookie []byte) {
	*(*[]byte)(unsafe.Add(unsafe.Pointer(dc), cookieOffset)) = cookie
}
