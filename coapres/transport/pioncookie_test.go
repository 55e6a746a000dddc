package transport

import (
	"reflect"
	"testing"
)

func TestFindCookie(t *testing.T) {
	if cookieErr != nil {
		t.Fatalf("pion has changed: %v", cookieErr)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[struct{}](), reflect.TypeFor[struct{ state []byte }](),
		reflect.TypeFor[struct{ state struct{ x int } }](),
		reflect.TypeFor[struct{ state struct{ cookie string } }]()} {
		if _, err := findCookie(typ); err == nil {
			t.Errorf("%s: got no error", typ)
		}
	}
}
