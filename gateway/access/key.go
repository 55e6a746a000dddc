package access

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Keys is the kind of [keys.Key].
var Keys = &Kind[keys.ID, keys.Key]{
	Name:  "key",
	ID:    func(r keys.Key) keys.ID { return r.ID },
	Order: cmp.Compare[keys.ID],
	Blank: func(id keys.ID) keys.Key { return keys.Key{ID: id} },

	Normal:     normalKey,
	References: func(r keys.Key, to *References) { to.To(Devices, r.Device) },
	Check:      checkKey,
	CheckAll:   checkDeletedKeys,
	Index:      indexKeys,

	Label: func(n Namer, r keys.Key) string {
		if r.Device == "" {
			return "key " + text.Quote(string(r.ID))
		}
		return "key " + text.Quote(string(r.ID)) + " of " + n.Name(r.Device)
	},
	Difference: func(_ Namer, label string, b, a keys.Key, say *edit.Sentences) {
		say.If(a.State != b.State, a.State.Verb(), " ", label)
		say.If(a.State == b.State && !a.LastUsed.Equal(b.LastUsed), "note use of ", label)
	},
	Restricted: func(before, after keys.Key) keys.Key {
		before.State = keys.Revoked
		if after.Secret.IsZero() {
			before.Secret = after.Secret
		}
		return before
	},
	Follow: func(r keys.Key, _ ID) (Change, bool) { return Change{Delete: r}, true },
	Stays: func(*Policy, keys.Key) error {
		return fmt.Errorf("%w: revoke it instead, or remove its device", ErrInUse)
	},

	table:     func(p *Policy) *map[keys.ID]keys.Key { return &p.Keys },
	referrers: func(p *Policy, device ID) ([]keys.Key, bool) { return p.KeysOf(device), true },
}

// normalKey compares the key with the step before and with the base, so that nobody can revive a
// key by deleting and putting it in one change. A revoked key may be put without its secret, since
// nothing needs the secret any more.
func normalKey(d *Draft, k keys.Key) (keys.Key, error) {
	for _, p := range []*Policy{d.Next, d.Base} {
		old, ok := p.Keys[k.ID]
		switch {
		case !ok:
		case k.State.Stage() < old.State.Stage():
			return k, d.Invalid(k, "it is %s and cannot become %s again: mint a new key", old.State, k.State)
		case k.Device != old.Device || !k.Secret.Equal(old.Secret) && !hasLostSecret(k):
			return k, d.Invalid(k, "a key keeps its device and its secret: mint a new key")
		}
	}
	k.Created, k.LastUsed = edit.NormalizeTime(k.Created), edit.NormalizeTime(k.LastUsed)
	return k, nil
}

func hasLostSecret(k keys.Key) bool { return k.State == keys.Revoked && k.Secret.IsZero() }

func checkKey(d *Draft, r keys.Key) error {
	if _, err := keys.ParseID(string(r.ID)); err != nil {
		return errors.New(
			"the id is not lk- and 10 characters of lower-case Crockford base32: use keys.NewID")
	}
	switch {
	case r.Secret.IsZero() && r.State != keys.Revoked:
		return errors.New("it has no secret")
	case r.State.Stage() == 0:
		return fmt.Errorf("state %q: want pending, active, retiring or revoked", string(r.State))
	}
	return nil
}

// checkDeletedKeys refuses to delete a key of an enrolled device: it could be put back as if it had
// never been revoked.
func checkDeletedKeys(d *Draft, e *Edit[keys.ID, keys.Key]) error {
	for _, id := range e.Touched {
		k, was := e.Before(id)
		if _, is := e.After(id); !was || is {
			continue
		}
		if _, enrolled := d.Next.Devices[k.Device]; enrolled {
			return fmt.Errorf("access: delete %s: %w: its device is still enrolled: revoke the key instead",
				d.Label(k), ErrInUse)
		}
	}
	return nil
}

func indexKeys(d *Draft, e *Edit[keys.ID, keys.Key]) error {
	device := func(k keys.Key) ID { return k.Device }
	d.Next.keysOf = edit.UpdateIndex(d.Next.keysOf, e, device, func(a, b keys.Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return nil
}

// KeysOf returns the device's keys, oldest first. The slice is the caller's.
func (p *Policy) KeysOf(device ID) []keys.Key { return slices.Clone(p.keysOf[device]) }
