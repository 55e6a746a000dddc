// Package servers judges what is asked of the admin API about other people's servers: where they
// are, and what a grant may let them do. It refuses at once what would fail later, or surprise
// whoever asked. It keeps nothing, and what a record may hold is up to its kind.
package servers

import (
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/sink/webhook"
	"latchkey/keys"
)

// NewEndpoint returns the endpoint that a request describes. It refuses an address that the gateway
// would not connect to.
func NewEndpoint(in api.Endpoint) (endpoint.Endpoint, error) {
	e := endpoint.Endpoint{URL: in.URL, User: in.User, Password: keys.Hide(in.Password), CA: in.CA, Cert: in.Cert,
		Key: keys.Hide(in.Key), Private: in.Private}
	if err := e.CheckHost(); err != nil {
		return e, fmt.Errorf("url: %w: %w", access.ErrInvalid, err)
	}
	return e, nil
}

// NewSecret returns the secret of a webhook, and its text if it was made here.
func NewSecret(p sinks.Protocol, text string) (secret keys.Hidden, made string, err error) {
	switch {
	case p != sinks.Webhook && text == "new":
		return keys.Hidden{}, "", nil
	case text == "new":
		secret = webhook.MintSecret()
		return secret, secret.Reveal(), nil
	}
	if err := webhook.CheckSecret(text); err != nil {
		return secret, "", fmt.Errorf("secret: %w: %w", access.ErrInvalid, err)
	}
	return keys.Hide(text), "", nil
}

// CheckTopics refuses a second integration that shares topics with another at the same broker: each
// would write over the other's, and empty them when it is removed.
func CheckTopics(p *access.Policy, r access.Integration) error {
	for _, other := range p.Integrations {
		if other.ID == r.ID || other.Endpoint.HostPort() != r.Endpoint.HostPort() {
			continue
		}
		for what, same := range map[string]bool{"base " + r.Base: other.Base == r.Base,
			"prefix " + r.Prefix: other.Prefix == r.Prefix} {
			if same {
				return fmt.Errorf("integration %s uses the %s at that broker: %w: choose another base "+
					"and another prefix", other.Name, what, access.ErrConflict)
			}
		}
	}
	return nil
}
