package wire

import "bytes"

var (
	scanShape = shape{name: "scan", required: makeSet(labelN, labelUID), optional: makeSet(labelAge)}
	actShape  = shape{name: "act", required: makeSet(labelN, labelAction),
		optional: makeSet(labelLevel, labelAge)}
	verdictShape = shape{name: "verdict", required: makeSet(labelVerdict, labelLast), grows: true}
	commandShape = shape{name: "command", required: makeSet(labelID, labelAction),
		optional: makeSet(labelLevel, labelDuration, labelAge, labelEpoch)}
	stateShape = shape{name: "state", required: makeSet(labelOn),
		optional: makeSet(labelID, labelLevel, labelContact, labelLeft, labelObeyed, labelObeyedEpoch),
		grows:    true}
	receiptShape = shape{name: "receipt", required: makeSet(labelResult, labelOn),
		optional: makeSet(labelID, labelLevel, labelContact, labelLeft), grows: true}
)

// ParseScan reads a scan in CBOR or JSON. The UID is the caller's own copy. Errors wrap
// ErrMalformed or ErrFormat.
func ParseScan(f Format, b []byte) (Scan, error) {
	var r record
	if err := r.parse(&scanShape, f, b); err != nil {
		return Scan{}, err
	}
	return Scan{N: uint64(r.num[labelN]), UID: bytes.Clone(r.uid), Age: int32(r.num[labelAge])}, nil
}

// Append writes s in CBOR or JSON after dst and returns the extended slice; on an impossible value
// it returns dst and an error.
func (s Scan) Append(dst []byte, f Format) ([]byte, error) {
	var r record
	r.put(labelN, clamp(s.N))
	r.putUID(s.UID)
	r.putOptional(labelAge, int64(s.Age))
	return r.append(dst, &scanShape, f)
}

// Encode returns s in CBOR or JSON.
func (s Scan) Encode(f Format) ([]byte, error) { return s.Append(nil, f) }

// ParseAct reads a switch's request in CBOR or JSON. Errors wrap ErrMalformed or ErrFormat.
func ParseAct(f Format, b []byte) (Act, error) {
	var r record
	if err := r.parse(&actShape, f, b); err != nil {
		return Act{}, err
	}
	return Act{
		N:      uint64(r.num[labelN]),
		Action: Action(r.num[labelAction]),
		Level:  uint8(r.num[labelLevel]),
		Age:    int32(r.num[labelAge]),
	}, nil
}

// Append writes a in CBOR or JSON after dst and returns the extended slice; on an impossible value
// it returns dst and an error.
func (a Act) Append(dst []byte, f Format) ([]byte, error) {
	var r record
	r.put(labelN, clamp(a.N))
	r.put(labelAction, int64(a.Action))
	r.putLevel(a.Action, a.Level)
	r.putOptional(labelAge, int64(a.Age))
	return r.append(dst, &actShape, f)
}

// Encode returns a in CBOR or JSON.
func (a Act) Encode(f Format) ([]byte, error) { return a.Append(nil, f) }

// ParseVerdict reads a verdict in CBOR or JSON. With an error the verdict is the zero one, which
// denies.
func ParseVerdict(f Format, b []byte) (Verdict, error) {
	var r record
	if err := r.parse(&verdictShape, f, b); err != nil {
		return Verdict{}, err
	}
	return Verdict{Verdict: Outcome(r.num[labelVerdict]), Last: uint64(r.num[labelLast])}, nil
}

// Append writes v in CBOR or JSON after dst and returns the extended slice; on an impossible value
// it returns dst and an error.
func (v Verdict) Append(dst []byte, f Format) ([]byte, error) {
	var r record
	r.put(labelVerdict, int64(v.Verdict))
	r.put(labelLast, clamp(v.Last))
	return r.append(dst, &verdictShape, f)
}

// Encode returns v in CBOR or JSON. In CBOR its length depends on Last alone, never on the verdict.
func (v Verdict) Encode(f Format) ([]byte, error) { return v.Append(nil, f) }

// ParseCommand reads a command in CBOR or JSON. Errors wrap ErrMalformed or ErrFormat.
func ParseCommand(f Format, b []byte) (Command, error) {
	var r record
	if err := r.parse(&commandShape, f, b); err != nil {
		return Command{}, err
	}
	return Command{
		ID:       uint64(r.num[labelID]),
		Action:   Action(r.num[labelAction]),
		Level:    uint8(r.num[labelLevel]),
		Duration: uint32(r.num[labelDuration]),
		Age:      int32(r.num[labelAge]),
		Epoch:    uint32(r.num[labelEpoch]),
	}, nil
}

// Append writes c in CBOR or JSON after dst and returns the extended slice; on an impossible value
// it returns dst and an error.
func (c Command) Append(dst []byte, f Format) ([]byte, error) {
	var r record
	r.put(labelID, clamp(c.ID))
	r.put(labelAction, int64(c.Action))
	r.putLevel(c.Action, c.Level)
	r.putOptional(labelDuration, int64(c.Duration))
	r.putOptional(labelAge, int64(c.Age))
	r.putOptional(labelEpoch, int64(c.Epoch))
	return r.append(dst, &commandShape, f)
}

// Encode returns c in CBOR or JSON.
func (c Command) Encode(f Format) ([]byte, error) { return c.Append(nil, f) }

// ParseState reads an actuator's state in CBOR or JSON. Errors wrap ErrMalformed or ErrFormat.
func ParseState(f Format, b []byte) (State, error) {
	var r record
	if err := r.parse(&stateShape, f, b); err != nil {
		return State{}, err
	}
	return r.state(), nil
}

// Append writes s in CBOR or JSON after dst and returns the extended slice; on an impossible value
// it returns dst and an error.
func (s State) Append(dst []byte, f Format) ([]byte, error) {
	var r record
	r.putState(s)
	r.putOptional(labelObeyed, clamp(s.Obeyed))
	r.putOptional(labelObeyedEpoch, int64(s.ObeyedEpoch))
	return r.append(dst, &stateShape, f)
}

// Encode returns s in CBOR or JSON.
func (s State) Encode(f Format) ([]byte, error) { return s.Append(nil, f) }

// ParseReceipt reads a receipt in CBOR or JSON. With an error the receipt is the zero one, which
// says refused.
func ParseReceipt(f Format, b []byte) (Receipt, error) {
	var r record
	if err := r.parse(&receiptShape, f, b); err != nil {
		return Receipt{}, err
	}
	return Receipt{Result: Result(r.num[labelResult]), State: r.state()}, nil
}

// Append writes x in CBOR or JSON after dst and returns the extended slice; on an impossible value
// it returns dst and an error.
func (x Receipt) Append(dst []byte, f Format) ([]byte, error) {
	var r record
	r.put(labelResult, int64(x.Result))
	r.putState(x.State)
	return r.append(dst, &receiptShape, f)
}

// Encode returns x in CBOR or JSON.
func (x Receipt) Encode(f Format) ([]byte, error) { return x.Append(nil, f) }

// putLevel puts the level where one is expected. It also puts one that a caller gave by mistake, so
// that check refuses it.
func (r *record) putLevel(a Action, level uint8) {
	if a == Level || level != 0 {
		r.put(labelLevel, int64(level))
	}
}

func (r *record) state() State {
	return State{
		ID:      uint64(r.num[labelID]),
		On:      r.num[labelOn] == 1,
		Level:   uint8(r.num[labelLevel]),
		Contact: Contact(r.num[labelContact]),
		Left:    uint32(r.num[labelLeft]),

		Obeyed:      uint64(r.num[labelObeyed]),
		ObeyedEpoch: uint32(r.num[labelObeyedEpoch]),
	}
}

func (r *record) putState(s State) {
	on := int64(0)
	if s.On {
		on = 1
	}
	r.put(labelOn, on)
	r.putOptional(labelID, clamp(s.ID))
	r.putOptional(labelLevel, int64(s.Level))
	r.putOptional(labelContact, int64(s.Contact))
	r.putOptional(labelLeft, int64(s.Left))
}

// clamp makes a counter fit an int64; one that is out of range stays out of range.
func clamp(n uint64) int64 { return int64(min(n, maxCounter+1)) }
