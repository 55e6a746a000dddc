// Package strictjson decodes JSON that different programs could not read differently. It does not
// know which members a value may have: the schema of an operation says that.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"latchkey/gateway/text"
)

// maxDepth is deeper than any body of the API.
const maxDepth = 16

// Unmarshal decodes one JSON value. It refuses a member that occurs twice, and data after the
// value, since different readers would read them differently. The schema refuses unknown members.
func Unmarshal(data []byte, v any) error {
	if err := scanJSON(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// level is one open object or array.
type level struct {
	names map[string]bool // of an object, nil for an array
	value bool            // in an object, the next token is a value
}

func scanJSON(d *json.Decoder) error {
	var open []level
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return errors.New("not JSON")
		}
		if t == json.Delim('}') || t == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 && open[n-1].names != nil {
			in := &open[n-1]
			if !in.value {
				name := t.(string)
				if in.names[name] {
					return fmt.Errorf("member %q occurs twice", text.Shorten(name))
				}
				in.names[name], in.value = true, true
				continue
			}
			in.value = false
		}
		switch t {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
		if len(open) > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
	}
}
