package transport

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/pion/dtls/v3"
)

// pion makes its cookie when it makes the association, so a flood of hellos would use up memory. We
// make our own cookie first and store nothing. When it comes back, pion must take it for its own
// cookie. pion has no API for this, so this file writes one private field, dtls.Conn.state.cookie.

// cookieOffset is the offset of the cookie in a dtls.Conn. If cookieErr is set, pion has changed.
// Then pion sends cookies of its own, which cost an association each.
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
