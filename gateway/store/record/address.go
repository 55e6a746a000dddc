package record

import (
	"fmt"
	"net/netip"

	"latchkey/gateway/store/seal"
)

type addressRecord struct {
	Address string `cbor:"1,keyasint"`
}

// EncodeAddress returns the plaintext of a device's last address.
func EncodeAddress(at netip.AddrPort) ([]byte, error) { return Encode(1, addressRecord{at.String()}) }

// DecodeAddress reads what [EncodeAddress] made.
func DecodeAddress(plain []byte) (netip.AddrPort, error) {
	r, err := Decode[addressRecord](plain)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at, err := netip.ParseAddrPort(r.Address)
	if err != nil || at.String() != r.Address {
		return netip.AddrPort{}, fmt.Errorf("address: %w", seal.ErrCorrupt)
	}
	return at, nil
}
