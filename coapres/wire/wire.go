// Package wire owns the bytes that a node and the gateway exchange. It sends nothing and decides nothing.
package wire

// Scan is a card read, as a reader sends it.
type Scan struct {
	N   uint64 // scan counter, 1…2^53−1
	UID []byte // 4, 7 or 10 bytes
	Age int32  // ms from receiving the Echo to the tap; negative when the tap came first
}

// Act is what a switch asks of a target.
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
}

// Contact is what a sensor at the target says.
type Contact uint8

const (
	ContactUnknown Contact = 0
	ContactClosed  Contact = 1
	ContactOpen    Contact = 2
)

// State is what an actuator is: commanded and sensed.
type State struct {
	ID      uint64 // last command obeyed in this association, 0 if none
	On      bool   // relay or lamp is energised: a lock with On is unlocked
	Level   uint8  // lamps: 0…100
	Contact Contact
	Left    uint32 // ms until a pulse ends by itself
}

// Result is what came of a command at the actuator. The zero value refused.
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
