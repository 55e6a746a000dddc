// Package provision mints keys, says how they change over a device's life, and writes bundles for
// devices. It stores nothing: the store applies the changes that it returns.
package provision

import (
	"time"

	"latchkey/keys"
)

// New mints a key for the device with that record id. It is pending until it completes its first
// handshake.
func New(device keys.RecordID) keys.Key {
	return keys.Key{
		ID:      keys.NewID(),
		Device:  device,
		Secret:  keys.NewSecret(),
		State:   keys.Pending,
		Created: time.Now().UTC().Truncate(time.Second),
	}
}

// Rotate mints a new key for a device. It returns that key and the keys that change: each usable
// key becomes retiring, and works until the new one is used.
func Rotate(device keys.RecordID, all []keys.Key) (fresh keys.Key, changed []keys.Key) {
	for _, k := range all {
		if k.Device == device && k.State.Usable() && k.State != keys.Retiring {
			k.State = keys.Retiring
			changed = append(changed, k)
		}
	}
	return New(device), changed
}

// MarkUsed returns the keys that change because the key with that id completed a handshake. A
// pending key becomes active, and then the device's retiring keys are revoked. The key's day of
// last use is updated. If the key is missing or not usable, nothing changes.
func MarkUsed(id keys.ID, all []keys.Key, at time.Time) (changed []keys.Key) {
	device, first := keys.RecordID(""), false
	for _, k := range all {
		if k.ID != id || !k.State.Usable() {
			continue
		}
		device, first = k.Device, k.State == keys.Pending
		was := k
		if first {
			k.State = keys.Active
		}
		if day := at.UTC().Truncate(24 * time.Hour); day.After(k.LastUsed) {
			k.LastUsed = day
		}
		if first || !k.LastUsed.Equal(was.LastUsed) {
			changed = append(changed, k)
		}
	}
	for _, k := range all {
		if first && k.ID != id && k.Device == device && k.State == keys.Retiring {
			changed = append(changed, Revoke(k))
		}
	}
	return changed
}

// Revoke returns the revoked k, without its secret: nothing needs that any more.
func Revoke(k keys.Key) keys.Key {
	k.State = keys.Revoked
	k.Secret = keys.Secret{}
	return k
}
