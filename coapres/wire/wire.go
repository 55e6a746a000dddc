// Package wire owns the bytes that a node and the gateway exchange. It sends nothing and decides
// nothing, and it does not judge whether an age is fresh.
//
// Each message is one CBOR map with small integer keys (Content-Format 60), in the core
// deterministic encoding of RFC 8949 §4.2.1: keys ascending, integers and lengths in their shortest
// form, no indefinite length, no tag, no float, no key twice, nothing after the map. An optional
// field that is zero is left out. So every value has exactly one encoding, and any other bytes are
// refused. The same structures exist as JSON (50), with names for keys and words and hex for the
// UID, so that a person can test; there order and white space are free and a zero may be spelled
// out, but repeated or null members are refused too. A body holds at most 128 bytes.
//
// The format can grow. A key below 32 is critical, a key from 32 on is elective, as odd and even
// option numbers are in CoAP (RFC 7252 §5.4.1); in JSON a name that begins with "x-" is elective,
// any other critical. A receiver that does not know a critical member refuses the message. An
// unknown elective member
//
//   - is skipped in a verdict, state and receipt: the message means the same as without it;
//   - is refused in a scan, act and command: a message that may move a door must be understood as a
//     whole.
//
// The value of an elective member is an integer, a byte string, a text string in UTF-8, false or
// true, or one array of these (in JSON: a whole number, a string, false or true, or one array of
// these). Arrays are not nested and there are no maps, so that it is skipped without recursion;
// what needs more structure goes into a byte string. All rules above hold for elective members too.
// A member that is added to verdicts must be in every verdict, with one length.
//
// All messages share one table of keys:
//
//	key name      CBOR             JSON             values
//	 1  n         unsigned         number           1…2^53−1
//	 2  uid       byte string      hex string       4, 7 or 10 bytes
//	 3  age       integer          number           ms in an int32; optional
//	 4  action    unsigned         "unlock"…        1 unlock, 2 lock, 3 on, 4 off, 5 toggle, 6 level
//	 5  level     unsigned         number           0…100
//	 6  verdict   unsigned         "denied"…        0 denied, 1 granted, 2 retry
//	 7  last      unsigned         number           0…2^53−1
//	 8  id        unsigned         number           0…2^53−1
//	 9  duration  unsigned         number           1…60000 ms; optional, absent means the actuator's own
//	10  on        true, false      true, false
//	11  contact   unsigned         "closed", "open" 1 closed, 2 open; optional, absent means unknown
//	12  result    unsigned         "refused"…       0 refused, 1 done
//	13  left      unsigned         number           1…60000 ms; optional
//	14  epoch     unsigned         number           1…2^32−1; optional, absent means 1
//	32  x-obeyed  unsigned         number           1…2^53−1; optional
//	33  x-epoch   unsigned         number           1…2^32−1; optional, absent means 1
//
// The messages, with their keys (? is optional), an example in CBOR and the same in JSON:
//
//	scan     1 2 3?           a3 01 01 02 47 04a1b2c3d4e580 03 2b
//	                          {"n":1,"uid":"04a1b2c3d4e580","age":-12}
//	act      1 3? 4 5?        a3 01 07 04 06 05 18 28
//	                          {"n":7,"action":"level","level":40}
//	verdict  6 7              a2 06 01 07 01
//	                          {"verdict":"granted","last":1}
//	command  3? 4 5? 8 9? 14? a4 03 18 28 04 01 08 19 1234 09 19 0bb8
//	                          {"age":40,"action":"unlock","id":4660,"duration":3000}
//	state    5? 8? 10 11? 13? a3 08 19 1234 0a f4 0b 01
//	         32? 33?
//	                          {"id":4660,"on":false,"contact":"closed"}
//	receipt  12 and a state's a4 08 19 1234 0a f5 0c 01 0d 19 0bb8
//	                          {"id":4660,"on":true,"result":"done","left":3000}
//
// id, epoch, x-obeyed and x-epoch let a node notice, after the gateway's store was put back to
// an older state, that it has obeyed commands that the store does not know. epoch is sent only to a
// node whose link to /act says that it knows the member.
//
// Rules between fields: level is there if and only if the action is level; in a state it is the
// lamp's level, and optional. A command is never toggle, its id is not 0, and only unlock has a
// duration. left is there only if on is true. The length of a verdict depends on last alone.
//
// A report is a SenML pack (RFC 8428) of at most 1,024 bytes and 16 records, in CBOR (112) or JSON
// (110); see [ParseReport]. It grows as the RFC says (§4.4): a label that ends in "_" is critical,
// any other elective.
//
// testdata/vectors.txt has these encodings, and bodies that must be refused, for this package and
// for the firmware.
package wire

// Scan is a card read, as a reader sends it.
type Scan struct {
	N   uint64 // scan counter, 1…2^53−1
	UID []byte // 4, 7 or 10 bytes
	Age int32  // ms from receiving the Echo to the tap; negative when the tap came first
}

// Act is a switch's request to a target.
type Act struct {
	N      uint64
	Action Action
	Level  uint8 // 0…100, only with Level
	Age    int32
}

// Outcome is the word of a verdict. The zero value denies.
type Outcome uint8

const (
	Denied  Outcome = 0
	Granted Outcome = 1
	Retry   Outcome = 2 // granted, but the door did not answer
)

// Verdict is the part of a decision that the reader gets.
type Verdict struct {
	Verdict Outcome
	Last    uint64 // the last counter the gateway took from this device
}

// Command is what the gateway asks of an actuator.
type Command struct {
	ID       uint64 // sequence number of the event that caused it
	Action   Action // never Toggle
	Level    uint8
	Duration uint32 // ms, for Unlock
	Age      int32
	Epoch    uint32 // of ID, 0 counts as 1; only for a node that says that it knows it
}

// Contact is what a sensor at the target says.
type Contact uint8

const (
	ContactUnknown Contact = 0
	ContactClosed  Contact = 1
	ContactOpen    Contact = 2
)

// State is the state of an actuator: its output and its contact.
type State struct {
	ID      uint64 // last command obeyed in this association, 0 if none
	On      bool   // relay or lamp is energised: a lock with On is unlocked
	Level   uint8  // lamps: 0…100
	Contact Contact
	Left    uint32 // ms until a pulse ends by itself

	// Obeyed is the newest command that the node obeyed since it has power, in this association or
	// another, and ObeyedEpoch its epoch, 0 if it is 1. Both are 0 if that is ID. A receipt does
	// not have them.
	Obeyed      uint64
	ObeyedEpoch uint32
}

// Result is the result of a command at the actuator. The zero value means refused.
type Result uint8

const (
	Refused Result = 0
	Done    Result = 1
)

// Receipt is an actuator's answer to a command, with its state after it.
type Receipt struct {
	Result Result
	State
}
