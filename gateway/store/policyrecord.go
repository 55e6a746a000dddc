package store

import (
	"fmt"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/keys"
)

// The records of the policy, version 1. The id of each is in its Badger key, which the seal binds to the value.

type siteRecord struct {
	Zone        string `cbor:"1,keyasint"`
	Lockdown    bool   `cbor:"2,keyasint,omitempty"`
	TimeTrusted uint64 `cbor:"3,keyasint,omitempty"`
}

type personRecord struct {
	Name      string `cbor:"1,keyasint"`
	Suspended bool   `cbor:"2,keyasint,omitempty"`
	Created   *stamp `cbor:"3,keyasint,omitempty"`
}

type credentialRecord struct {
	Person  string `cbor:"1,keyasint"`
	Tail    string `cbor:"2,keyasint,omitempty"`
	Status  string `cbor:"3,keyasint"`
	From    *stamp `cbor:"4,keyasint,omitempty"`
	Until   *stamp `cbor:"5,keyasint,omitempty"`
	Created *stamp `cbor:"6,keyasint,omitempty"`
}

type groupRecord struct {
	Name    string   `cbor:"1,keyasint"`
	Of      string   `cbor:"2,keyasint"`
	Members []string `cbor:"3,keyasint,omitempty"`
	Created *stamp   `cbor:"4,keyasint,omitempty"`
}

type targetRecord struct {
	Name    string `cbor:"1,keyasint"`
	Kind    string `cbor:"2,keyasint"`
	Pulse   int64  `cbor:"3,keyasint,omitempty"` // ns
	Created *stamp `cbor:"4,keyasint,omitempty"`
}

type deviceRecord struct {
	Name    string   `cbor:"1,keyasint"`
	Kind    string   `cbor:"2,keyasint"`
	Targets []string `cbor:"3,keyasint,omitempty"`
	Created *stamp   `cbor:"4,keyasint,omitempty"`
}

type keyRecord struct {
	Device   string `cbor:"1,keyasint"`
	Secret   string `cbor:"2,keyasint,omitempty"`
	State    string `cbor:"3,keyasint"`
	Created  *stamp `cbor:"4,keyasint,omitempty"`
	LastUsed *stamp `cbor:"5,keyasint,omitempty"`
}

type scheduleRecord struct {
	Name    string `cbor:"1,keyasint"`
	Text    string `cbor:"2,keyasint"`
	Created *stamp `cbor:"3,keyasint,omitempty"`
}

type grantRecord struct {
	SubjectKind string  `cbor:"1,keyasint"`
	Subject     string  `cbor:"2,keyasint"`
	Target      string  `cbor:"3,keyasint,omitempty"`
	TargetGroup string  `cbor:"4,keyasint,omitempty"`
	Actions     []uint8 `cbor:"5,keyasint,omitempty"` // a byte string
	Schedule    string  `cbor:"6,keyasint,omitempty"`
	From        *stamp  `cbor:"7,keyasint,omitempty"`
	Until       *stamp  `cbor:"8,keyasint,omitempty"`
	Effect      string  `cbor:"9,keyasint"`
	Created     *stamp  `cbor:"10,keyasint,omitempty"`
}

// keyOf returns the Badger key of a policy record. Only the record's id is looked at.
func keyOf(r access.Record) (recordKey, error) {
	switch r := r.(type) {
	case access.Site:
		return siteRec, nil
	case access.Person:
		return idKey(kindPerson, r.ID), nil
	case access.Credential:
		return credentialKey(r.ID), nil
	case access.Group:
		return idKey(kindGroup, r.ID), nil
	case access.Target:
		return idKey(kindTarget, r.ID), nil
	case access.Device:
		return idKey(kindDevice, r.ID), nil
	case keys.Key:
		return keyKey(r.ID), nil
	case access.Schedule:
		return idKey(kindSchedule, r.ID), nil
	case access.Grant:
		return idKey(kindGrant, r.ID), nil
	case access.Account:
		return idKey(kindAccount, r.ID), nil
	}
	return "", fmt.Errorf("store: no record is a %T: %w", r, access.ErrInvalid)
}

// encodeRecord returns where a policy record is kept and its plaintext.
func encodeRecord(r access.Record) (recordKey, []byte, error) {
	key, err := keyOf(r)
	if err != nil {
		return "", nil, err
	}
	var rec any
	switch r := r.(type) {
	case access.Site:
		rec = siteRecord{r.Zone, r.Lockdown, r.TimeTrusted}
	case access.Person:
		rec = personRecord{r.Name, r.Suspended, stampOf(r.Created)}
	case access.Credential:
		rec = credentialRecord{string(r.Person), r.Tail, string(r.Status), stampOf(r.From), stampOf(r.Until), stampOf(r.Created)}
	case access.Group:
		rec = groupRecord{r.Name, string(r.Of), convert[string](r.Members), stampOf(r.Created)}
	case access.Target:
		rec = targetRecord{r.Name, string(r.Kind), int64(r.Pulse), stampOf(r.Created)}
	case access.Device:
		rec = deviceRecord{r.Name, string(r.Kind), convert[string](r.Targets), stampOf(r.Created)}
	case keys.Key:
		rec = keyRecord{string(r.Device), r.Secret.Reveal(), string(r.State), stampOf(r.Created), stampOf(r.LastUsed)}
	case access.Schedule:
		rec = scheduleRecord{r.Name, r.Text, stampOf(r.Created)}
	case access.Grant:
		actions := make([]uint8, len(r.Actions))
		for i, a := range r.Actions {
			actions[i] = uint8(a)
		}
		rec = grantRecord{string(r.SubjectKind), string(r.Subject), string(r.Target), string(r.TargetGroup), actions,
			string(r.Schedule), stampOf(r.From), stampOf(r.Until), string(r.Effect), stampOf(r.Created)}
	case access.Account:
		rec = accountRecordOf(r)
	}
	plain, err := encode(1, rec)
	if err != nil {
		return "", nil, fmt.Errorf("store: %v: %w", key, err)
	}
	return key, plain, nil
}

// decodeRecord reads the plaintext of a policy record back.
func decodeRecord(key recordKey, plain []byte) (access.Record, error) {
	switch key.kind() {
	case kindSite:
		r, err := decode[siteRecord](plain)
		return access.Site{Zone: r.Zone, Lockdown: r.Lockdown, TimeTrusted: r.TimeTrusted}, err
	case kindPerson:
		r, err := decode[personRecord](plain)
		return access.Person{ID: key.id(), Name: r.Name, Suspended: r.Suspended, Created: r.Created.time()}, err
	case kindCredential:
		r, err := decode[credentialRecord](plain)
		c := access.Credential{Person: access.ID(r.Person), Tail: r.Tail, Status: access.CredentialStatus(r.Status),
			From: r.From.time(), Until: r.Until.time(), Created: r.Created.time()}
		if copy(c.ID[:], key[1:]) != len(c.ID) || len(key) != 1+len(c.ID) {
			return nil, fmt.Errorf("key length: %w", ErrCorrupt)
		}
		return c, err
	case kindGroup:
		r, err := decode[groupRecord](plain)
		return access.Group{ID: key.id(), Name: r.Name, Of: access.GroupOf(r.Of), Members: convert[access.ID](r.Members), Created: r.Created.time()}, err
	case kindTarget:
		r, err := decode[targetRecord](plain)
		return access.Target{ID: key.id(), Name: r.Name, Kind: access.TargetKind(r.Kind), Pulse: time.Duration(r.Pulse), Created: r.Created.time()}, err
	case kindDevice:
		r, err := decode[deviceRecord](plain)
		return access.Device{ID: key.id(), Name: r.Name, Kind: keys.Kind(r.Kind), Targets: convert[access.ID](r.Targets), Created: r.Created.time()}, err
	case kindKey:
		return decodeKey(key, plain)
	case kindSchedule:
		r, err := decode[scheduleRecord](plain)
		return access.Schedule{ID: key.id(), Name: r.Name, Text: r.Text, Created: r.Created.time()}, err
	case kindGrant:
		return decodeGrant(key, plain)
	case kindAccount:
		return decodeAccount(key, plain)
	}
	return nil, fmt.Errorf("not a policy record: %w", ErrCorrupt)
}

func decodeKey(key recordKey, plain []byte) (access.Record, error) {
	r, err := decode[keyRecord](plain)
	if err != nil {
		return nil, err
	}
	k := keys.Key{ID: keys.ID(key[1:]), Device: access.ID(r.Device), State: keys.State(r.State), Created: r.Created.time(), LastUsed: r.LastUsed.time()}
	if r.Secret != "" { // a revoked key may have lost it
		if k.Secret, err = keys.ParseSecret(r.Secret); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	return k, nil
}

func decodeGrant(key recordKey, plain []byte) (access.Record, error) {
	r, err := decode[grantRecord](plain)
	if err != nil {
		return nil, err
	}
	g := access.Grant{ID: key.id(), SubjectKind: access.SubjectKind(r.SubjectKind), Subject: access.ID(r.Subject),
		Target: access.ID(r.Target), TargetGroup: access.ID(r.TargetGroup), Schedule: access.ID(r.Schedule),
		From: r.From.time(), Until: r.Until.time(), Effect: access.Effect(r.Effect), Created: r.Created.time()}
	for _, a := range r.Actions {
		g.Actions = append(g.Actions, wire.Action(a))
	}
	return g, nil
}

func convert[To, From ~string](in []From) []To {
	if len(in) == 0 {
		return nil
	}
	out := make([]To, len(in))
	for i, s := range in {
		out[i] = To(s)
	}
	return out
}
