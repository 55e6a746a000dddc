package record

import (
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

const KindAccount = 'a'

type accountRecord struct {
	Name     string          `cbor:"1,keyasint"`
	Role     string          `cbor:"2,keyasint"`
	Disabled bool            `cbor:"3,keyasint,omitempty"`
	Password string          `cbor:"4,keyasint,omitempty"`
	TOTP     string          `cbor:"5,keyasint,omitempty"`
	Passkeys []passkeyRecord `cbor:"6,keyasint,omitempty"`
	Tokens   []tokenRecord   `cbor:"7,keyasint,omitempty"`
	Epoch    uint64          `cbor:"8,keyasint,omitempty"`
	Created  *Stamp          `cbor:"9,keyasint,omitempty"`
}

type passkeyRecord struct {
	ID         []byte `cbor:"1,keyasint"`
	Label      string `cbor:"2,keyasint"`
	Credential []byte `cbor:"3,keyasint"`
	Created    *Stamp `cbor:"4,keyasint,omitempty"`
}

type tokenRecord struct {
	ID      string   `cbor:"1,keyasint"`
	Label   string   `cbor:"2,keyasint"`
	Hash    []byte   `cbor:"3,keyasint"`
	Scopes  []string `cbor:"4,keyasint"`
	Until   *Stamp   `cbor:"5,keyasint,omitempty"`
	Created *Stamp   `cbor:"6,keyasint,omitempty"`
}

var accountCodec = &codec[accounts.Account, accountRecord]{
	kind:   accounts.Kind,
	letter: KindAccount,
	id:     func(r accounts.Account) string { return string(r.ID) },
	pack:   packAccount,
	unpack: unpackAccount,
	since:  3,
}

func packAccount(r accounts.Account) accountRecord {
	rec := accountRecord{Name: r.Name, Role: string(r.Role), Disabled: r.Disabled,
		Password: r.Password.Reveal(),
		TOTP:     r.TOTP.Reveal(), Epoch: r.Epoch, Created: MakeStamp(r.Created)}
	for _, k := range r.Passkeys {
		rec.Passkeys = append(rec.Passkeys, passkeyRecord{k.ID, k.Label, k.Credential, MakeStamp(k.Created)})
	}
	for _, t := range r.Tokens {
		rec.Tokens = append(rec.Tokens, tokenRecord{string(t.ID), t.Label, t.Hash[:],
			convert[string](t.Scopes),
			MakeStamp(t.Until), MakeStamp(t.Created)})
	}
	return rec
}

func unpackAccount(id string, s accountRecord) (accounts.Account, error) {
	r := accounts.Account{ID: access.ID(id), Name: s.Name, Role: accounts.Role(s.Role), Disabled: s.Disabled,
		Password: keys.Hide(s.Password), TOTP: keys.Hide(s.TOTP), Epoch: s.Epoch, Created: s.Created.Time()}
	for _, k := range s.Passkeys {
		r.Passkeys = append(r.Passkeys, accounts.Passkey{ID: k.ID, Label: k.Label, Credential: k.Credential,
			Created: k.Created.Time()})
	}
	for _, t := range s.Tokens {
		if len(t.Hash) != len(keys.Hash{}) {
			return r, fmt.Errorf("hash length of a token: %w", seal.ErrCorrupt)
		}
		r.Tokens = append(r.Tokens, accounts.Token{ID: access.ID(t.ID), Label: t.Label,
			Hash:   keys.Hash(t.Hash),
			Scopes: convert[accounts.Scope](t.Scopes), Until: t.Until.Time(), Created: t.Created.Time()})
	}
	return r, nil
}
