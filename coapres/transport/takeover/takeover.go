// Package takeover reads the keys, numbers and connection IDs of an association out of pion, when
// its handshake is complete, so that we can seal and open the records ourselves. pion has no API for
// a key. But it exports its state as a gob, which is decoded here into a struct of ours with the
// same field names. The package makes no handshake and sends nothing.
//
// The order matters, or a nonce is used twice: first nothing that pion writes may be sent any more,
// then pion is closed, then [Export] is called. Close seals a close_notify, even if nobody sends it,
// and the number that it takes is never ours.
package takeover

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/prf"

	"latchkey/coapres/transport/record/protect"
)

// Session is what pion's handshake agreed on.
type Session struct {
	Client   bool   // we are the client
	Identity string // the PSK identity that the client proved; empty at the client's end
	// Sealing is our key, Opening the other side's.
	Sealing, Opening protect.Key
	// OurCID is in the records that we receive, PeerCID in those that we send. Either may be empty.
	OurCID, PeerCID []byte
	// Next is the first sequence number that pion has not used.
	Next uint64
}

// Export reads the state of a connection whose handshake is complete and that is closed.
func Export(c *dtls.Conn) (Session, error) {
	s, ok := c.ConnectionState()
	if !ok {
		return Session{}, errors.New("takeover: the connection has no state")
	}
	b, err := s.MarshalBinary()
	if err != nil {
		return Session{}, fmt.Errorf("takeover: %w", err)
	}
	defer clear(b)
	return read(b)
}

// Sealer returns the Sealer for our records. It may be called once.
func (s *Session) Sealer() (*protect.Sealer, error) {
	return protect.NewSealer(s.Sealing, s.PeerCID, s.Next)
}

// Opener returns the Opener for the other side's records. Its window is empty: pion's own number
// counts records that pion has dropped, so it cannot be used.
func (s *Session) Opener() (*protect.Opener, error) { return protect.NewOpener(s.Opening, s.OurCID) }

// read decodes an exported state, checks it, and derives the keys.
func read(b []byte) (Session, error) {
	x, err := states.decode(b)
	if err != nil {
		return Session{}, err
	}
	defer clear(x.MasterSecret)
	suite := protect.Suite(x.CipherSuiteID)
	keySize, ivSize, known := suite.Sizes()
	switch {
	case !x.HandshakeComplete:
		return Session{}, errors.New("takeover: the handshake is not complete")
	case x.LocalEpoch != 1, x.RemoteEpoch != 1:
		return Session{}, fmt.Errorf("takeover: epochs %d and %d, not 1", x.LocalEpoch, x.RemoteEpoch)
	case !known:
		return Session{}, fmt.Errorf("takeover: unknown cipher suite %#04x", x.CipherSuiteID)
	case len(x.MasterSecret) != masterSize:
		return Session{}, fmt.Errorf("takeover: master secret of %d bytes, not %d", len(x.MasterSecret),
			masterSize)
	case x.LocalRandom == [32]byte{}, x.RemoteRandom == [32]byte{}:
		return Session{}, errors.New("takeover: a random is missing")
	case x.SequenceNumber == 0: // the Finished had that number
		return Session{}, errors.New("takeover: pion has sent no Finished")
	}

	client, server := x.RemoteRandom, x.LocalRandom
	if x.IsClient {
		client, server = server, client
	}
	k, err := prf.GenerateEncryptionKeys(x.MasterSecret, client[:], server[:], 0, keySize, ivSize, sha256.New)
	if err != nil {
		return Session{}, fmt.Errorf("takeover: %w", err)
	}
	clientKey, err := protect.NewKey(suite, k.ClientWriteKey, k.ClientWriteIV)
	if err != nil {
		return Session{}, err
	}
	serverKey, err := protect.NewKey(suite, k.ServerWriteKey, k.ServerWriteIV)
	if err != nil {
		return Session{}, err
	}
	for _, b := range [][]byte{k.ClientWriteKey, k.ServerWriteKey, k.ClientWriteIV, k.ServerWriteIV} {
		clear(b)
	}

	s := Session{Client: x.IsClient, Identity: string(x.IdentityHint), Sealing: serverKey, Opening: clientKey,
		OurCID: x.LocalConnectionID, PeerCID: x.RemoteConnectionID, Next: x.SequenceNumber}
	if x.IsClient {
		s.Sealing, s.Opening = clientKey, serverKey
	}
	return s, nil
}
