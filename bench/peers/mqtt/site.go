package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/keys"
)

// pulse is how long the door stays open, in ms.
const pulse = 1000

// site is one door, called 1, with its reader and a person whose card opens it.
type site struct {
	policy       *access.Policy
	door, reader access.ID
	cards        []byte // key of the hash that credentials are made with

	mu   sync.Mutex
	last uint64 // guarded by mu; the last counter of the reader
}

func newSite(uid string) (*site, error) {
	card, err := hex.DecodeString(uid)
	if err != nil || len(card) < 2 {
		return nil, errors.New("the card is not some bytes in hex")
	}
	s := &site{door: access.NewID(), reader: access.NewID(), cards: []byte(keys.Random(keys.SecretLen))}
	now, person := time.Now(), access.NewID()
	s.policy, err = access.New().With(
		access.Change{Put: access.Target{ID: s.door, Name: "door", Kind: access.Door,
			Pulse: pulse * time.Millisecond, Created: now}},
		access.Change{Put: access.Device{ID: s.reader, Name: "reader", Kind: keys.KindReader,
			Targets: []access.ID{s.door}, Created: now}},
		access.Change{Put: access.Person{ID: person, Name: "person", Created: now}},
		access.Change{Put: access.Credential{ID: s.credential(card), Person: person, Tail: tail(card),
			Status: access.CardActive, Created: now}},
		access.Change{Put: access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson,
			Subject: person, Target: s.door,
			Effect: access.Allow, Created: now}})
	return s, err
}

// credential returns the keyed hash of a card, as the gateway keeps it.
func (s *site) credential(uid []byte) access.CredentialID {
	m := hmac.New(sha256.New, s.cards)
	m.Write(uid)
	return access.CredentialID(m.Sum(nil))
}

func tail(uid []byte) string { return hex.EncodeToString(uid[len(uid)-2:]) }

// decide returns the policy's decision on one scan, and the last counter of the reader.
func (s *site) decide(door string, scan wire.Scan, at time.Time) (access.Decision, uint64, error) {
	if door != "1" {
		return access.Decision{}, 0, errors.New("there is no such door")
	}
	a := access.Attempt{Source: access.ByCard, Device: s.reader, Credential: s.credential(scan.UID),
		Tail: tail(scan.UID), Target: s.door,
		Action: wire.Unlock, Counter: scan.N, At: at, ClockTrusted: true}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Last = s.last
	dec := access.Decide(s.policy, a)
	s.last = max(s.last, scan.N)
	return dec, s.last, nil
}

// journal is a file of decisions. Each is on disk when its append returns.
type journal struct {
	mu sync.Mutex
	f  *os.File // guarded by mu
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &journal{f: f}, err
}

func (j *journal) append(door string, counter uint64, dec access.Decision) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := fmt.Fprintf(j.f, "%s door=%s counter=%d reason=%s rule=%s person=%s\n",
		time.Now().UTC().Format(time.RFC3339Nano), door, counter,
		dec.Reason, dec.Rule, dec.Person); err != nil {
		return err
	}
	return j.f.Sync()
}
