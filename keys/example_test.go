package keys_test

import (
	"fmt"

	"latchkey/keys"
)

// Each device gets its own key. The gateway stores it, and its secret is put into the device once.
func Example() {
	key := keys.Key{ID: keys.NewID(), Device: keys.NewRecordID(), Secret: keys.NewSecret(),
		State: keys.Pending}

	// The id is the PSK identity of DTLS: lk- and 10 characters. It is public and says nothing
	// about the device.
	fmt.Println(len(key.ID))

	// Nothing prints the secret by accident.
	fmt.Println(key.Secret)

	// Only Reveal returns the text, for the bundle that goes into the device. Its bytes are the
	// PSK.
	text := key.Secret.Reveal()
	fmt.Println(text == string(key.Secret.PSK()))

	// A secret that a person typed is compared in constant time.
	typed, err := keys.ParseSecret(text)
	fmt.Println(typed.Equal(key.Secret), err)

	// Output:
	// 13
	// [redacted]
	// true
	// true <nil>
}

func ExampleParseID() {
	_, err := keys.ParseID("lk-5941fr4pxx")
	fmt.Println(err)
	_, err = keys.ParseID("front-door")
	fmt.Println(err != nil)
	// Output:
	// <nil>
	// true
}
