package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"latchkey/gateway/admin/api"
)

// NewRequest returns the request that calls an operation.
func NewRequest[In, Out any](ctx context.Context, op api.Operation[In, Out], in In) (*http.Request, error) {
	parts := parts{path: op.Path, query: url.Values{}, header: http.Header{}}
	if err := parts.add(reflect.ValueOf(in)); err != nil {
		return nil, fmt.Errorf("%s: %w", op.ID, err)
	}
	address := host + parts.path
	if len(parts.query) > 0 {
		address += "?" + parts.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, op.Method, address, parts.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op.ID, err)
	}
	r.Header = parts.header
	return r, nil
}

// parts are the parts of a request that is being built.
type parts struct {
	path   string
	query  url.Values
	header http.Header
	body   io.Reader
}

// add puts each field of an operation's input where its tag says. A zero value is left out of the
// query and of the header.
func (p *parts) add(in reflect.Value) error {
	for i := range in.NumField() {
		field, value := in.Type().Field(i), in.Field(i)
		switch {
		case field.Anonymous:
			if err := p.add(value); err != nil {
				return err
			}
		case field.Name == "Body":
			b, err := json.Marshal(value.Interface())
			if err != nil {
				return err
			}
			p.body = bytes.NewReader(b)
			p.header.Set("Content-Type", "application/json")
		case field.Tag.Get("path") != "":
			p.path = strings.ReplaceAll(p.path, "{"+field.Tag.Get("path")+"}", escape(fmt.Sprint(value)))
		case value.IsZero():
		case field.Tag.Get("query") != "":
			p.query.Set(field.Tag.Get("query"), text(value))
		case field.Tag.Get("header") != "":
			p.header.Set(field.Tag.Get("header"), text(value))
		}
	}
	return nil
}

func text(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		return t.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// escape turns any text into one segment of a path. "." and ".." need it too, since they have a
// meaning in a path.
func escape(s string) string { return strings.ReplaceAll(url.PathEscape(s), ".", "%2E") }
