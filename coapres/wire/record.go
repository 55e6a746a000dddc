package wire

import (
	"errors"
	"fmt"
	"math"
)

// Format is a CoAP Content-Format number (RFC 7252 §12.3).
type Format uint16

const (
	JSON      Format = 50  // the same messages with names, for people with a test client
	CBOR      Format = 60  // what nodes speak
	SenMLJSON Format = 110 // reports (RFC 8428)
	SenMLCBOR Format = 112 // reports (RFC 8428)
)

const (
	MaxBody   = 128  // bytes of every message but a report
	MaxReport = 1024 // bytes of a report
)

var (
	// ErrMalformed is wrapped by every error about a body. The text names the field and the rule,
	// never the value.
	ErrMalformed = errors.New("malformed")
	// ErrTooLong is wrapped, beside ErrMalformed, when a body is longer than its limit.
	ErrTooLong = errors.New("too long")
	// ErrFormat is returned for a content format that the message does not have.
	ErrFormat = errors.New("unsupported content format")
)

// label is the integer key of a field. All messages share one space, so that C needs one table.
type label uint8

const (
	labelN label = iota + 1
	labelUID
	labelAge
	labelAction
	labelLevel
	labelVerdict
	labelLast
	labelID
	labelDuration
	labelOn
	labelContact
	labelResult
	labelLeft
	labelEpoch
	labelObeyed // from here on they are elective: their keys are from firstElective on
	labelObeyedEpoch
	labelEnd // one past the last
)

// The first key and the beginning of every name that are elective.
const (
	firstElective  = 32
	electivePrefix = "x-"
)

// key returns the key in CBOR.
func (l label) key() uint64 {
	if l >= labelObeyed {
		return firstElective + uint64(l-labelObeyed)
	}
	return uint64(l)
}

// findKey returns the label of a key, and false for one that the shape does not know. It knows each
// critical key, also where that does not belong into the message.
func (sh *shape) findKey(key uint64) (label, bool) {
	switch {
	case key == 0:
		return 0, false
	case key < uint64(labelObeyed):
		return label(key), true
	case key < firstElective || key-firstElective >= uint64(labelEnd-labelObeyed):
		return 0, false
	}
	l := labelObeyed + label(key-firstElective)
	return l, sh.optional.has(l)
}

// syntax is how the value of a field is written.
type syntax uint8

const (
	integer syntax = iota
	octets         // byte string, hex in JSON
	boolean
	word // integer in CBOR, one of a few words in JSON
)

const (
	maxCounter = 1<<53 - 1 // the largest integer that every JSON reader keeps exact
	maxPulse   = 60000     // ms
	maxEpoch   = 1<<32 - 1
)

type field struct {
	name     string
	syntax   syntax
	min, max int64
	words    []string // names of the values, from min on
}

var fields = [labelEnd]field{
	labelN:   {name: "n", min: 1, max: maxCounter},
	labelUID: {name: "uid", syntax: octets},
	labelAge: {name: "age", min: math.MinInt32, max: math.MaxInt32},
	labelAction: {name: "action", syntax: word, min: int64(Unlock), max: int64(Level),
		words: actionNames[Unlock:]},
	labelLevel:    {name: "level", max: 100},
	labelVerdict:  {name: "verdict", syntax: word, max: int64(Retry), words: outcomeNames[:]},
	labelLast:     {name: "last", max: maxCounter},
	labelID:       {name: "id", max: maxCounter},
	labelDuration: {name: "duration", max: maxPulse},
	labelOn:       {name: "on", syntax: boolean, max: 1},
	labelContact:  {name: "contact", syntax: word, max: int64(ContactOpen), words: contactNames[:]},
	labelResult:   {name: "result", syntax: word, max: int64(Done), words: resultNames[:]},
	labelLeft:     {name: "left", max: maxPulse},
	labelEpoch:    {name: "epoch", max: maxEpoch},

	labelObeyed:      {name: electivePrefix + "obeyed", max: maxCounter},
	labelObeyedEpoch: {name: electivePrefix + "epoch", max: maxEpoch},
}

type set uint32

func makeSet(ls ...label) (s set) {
	for _, l := range ls {
		s |= 1 << l
	}
	return s
}

func (s set) has(l label) bool { return s&(1<<l) != 0 }

// shape is what a message may contain.
type shape struct {
	name     string
	required set
	optional set  // absent is zero, and zero is absent
	grows    bool // unknown elective members are skipped; otherwise they are refused
}

// record is the form of a message between its struct and its bytes, the same for CBOR and JSON.
type record struct {
	present set
	num     [labelEnd]int64
	uid     []byte
}

func (r *record) put(l label, v int64) {
	r.present |= 1 << l
	r.num[l] = v
}

func (r *record) putUID(b []byte) {
	r.present |= 1 << labelUID
	r.uid = b
}

// putOptional leaves out a zero, so that a message has one encoding.
func (r *record) putOptional(l label, v int64) {
	if v != 0 {
		r.put(l, v)
	}
}

// BodyError says what is wrong with a body: it names the message, the field or key, and the rule,
// never a value. It is an ErrMalformed.
type BodyError struct{ Message, Why string }

func (e *BodyError) Error() string { return "wire: " + e.Message + ": malformed: " + e.Why }

// Unwrap returns ErrMalformed.
func (e *BodyError) Unwrap() error { return ErrMalformed }

func malformed(message, why string) error { return &BodyError{message, why} }

func unsupported(message string, f Format) error {
	return fmt.Errorf("wire: %s: %w %d", message, ErrFormat, f)
}

func tooLong(message string, limit int) error {
	return fmt.Errorf("wire: %s: %w: %w, over %d bytes", message, ErrMalformed, ErrTooLong, limit)
}

// parse reads b into r and checks it against the shape. r.uid may point into b.
func (r *record) parse(sh *shape, f Format, b []byte) error {
	if f != CBOR && f != JSON {
		return unsupported(sh.name, f)
	}
	if len(b) > MaxBody {
		return tooLong(sh.name, MaxBody)
	}
	var why string
	if f == CBOR {
		why = r.parseCBOR(sh, b)
	} else {
		why = r.parseJSON(sh, b)
	}
	if why == "" {
		why = r.check(sh, f)
	}
	if why != "" {
		return malformed(sh.name, why)
	}
	return nil
}

// append appends r to dst if it is a message of that shape.
func (r *record) append(dst []byte, sh *shape, f Format) ([]byte, error) {
	if f != CBOR && f != JSON {
		return dst, unsupported(sh.name, f)
	}
	if why := r.check(sh, f); why != "" {
		return dst, malformed(sh.name, why)
	}
	if f == CBOR {
		return r.appendCBOR(dst), nil
	}
	return r.appendJSON(dst), nil
}

// check returns why r is not a message of that shape, or an empty text. In JSON an optional zero
// may be spelled out; in CBOR it may not, so that the bytes are unique.
func (r *record) check(sh *shape, f Format) string {
	for l := labelN; l < labelEnd; l++ {
		switch {
		case !r.present.has(l):
			if sh.required.has(l) {
				return fields[l].name + " is missing"
			}
		case !(sh.required | sh.optional).has(l):
			return fields[l].name + " does not belong here"
		case l == labelUID:
			if n := len(r.uid); n != 4 && n != 7 && n != 10 {
				return "uid must be 4, 7 or 10 bytes"
			}
		case r.num[l] < fields[l].min || r.num[l] > fields[l].max:
			return fields[l].name + " is out of range"
		}
	}
	if why := r.between(sh); why != "" {
		return why
	}
	for l := labelN; f == CBOR && l < labelEnd; l++ {
		if sh.optional.has(l) && r.present.has(l) && r.num[l] == 0 &&
			!(l == labelLevel && r.num[labelAction] == int64(Level)) {
			return fields[l].name + " is zero and must be left out"
		}
	}
	return ""
}

// between checks the rules between fields. It is not a function in the shape: such a call would
// move every record to the heap.
func (r *record) between(sh *shape) string {
	action := Action(r.num[labelAction])
	switch {
	case sh.required.has(labelAction) && (action == Level) != r.present.has(labelLevel):
		return "level goes with the action level only, and always" // zero is a level too
	case sh == &commandShape && r.num[labelID] == 0:
		return "id is out of range"
	case sh == &commandShape && action == Toggle:
		return "a command says on or off, never toggle"
	case r.present.has(labelDuration) && action != Unlock:
		return "duration goes with the action unlock only"
	case r.num[labelLeft] != 0 && r.num[labelOn] == 0:
		return "what is off has no pulse left"
	}
	return ""
}
