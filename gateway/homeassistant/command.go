package homeassistant

import (
	"encoding/json"
	"errors"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/admin/strictjson"
)

// maxCommand bounds a command, in bytes. Home Assistant's are shorter than 120.
const maxCommand = 512

// Bounds of a command's members.
const (
	maxCode = 64      // bytes
	maxTime = 1 << 53 // ms since 1970
)

// command is what Home Assistant asks of a target.
type command struct {
	action wire.Action
	level  uint8     // for wire.Level, 1…100
	echo   string    // empty: Home Assistant knew none
	at     time.Time // by Home Assistant's clock
	code   string    // empty: none
}

var errCommand = errors.New("not a command that we know")

// actions are those that a command may ask for.
var actions = map[string]wire.Action{"unlock": wire.Unlock, "lock": wire.Lock, "on": wire.On, "off": wire.Off,
	"level": wire.Level}

// parseCommand reads {"a":action,"l":level,"e":echo,"t":time,"c":code}. Only l and c may be
// missing. It refuses unknown members, members that occur twice, and a level without need.
func parseCommand(data []byte) (c command, err error) {
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil || members == nil {
		return command{}, errCommand
	}
	var action string
	var at int64
	// json.Unmarshal refuses a value of another type and a number that is not whole, but not null.
	take := func(name string, into any, need bool) {
		raw, ok := members[name]
		delete(members, name)
		if ok && string(raw) != "null" {
			if json.Unmarshal(raw, into) != nil {
				err = errCommand
			}
		} else if need || ok {
			err = errCommand
		}
	}
	take("a", &action, true)
	take("e", &c.echo, true)
	take("t", &at, true)
	take("c", &c.code, false)
	c.action = actions[action]
	take("l", &c.level, c.action == wire.Level)
	switch {
	case err != nil, len(members) > 0, c.action == 0, at <= 0, at > maxTime, len(c.code) > maxCode,
		(c.action == wire.Level) != (c.level > 0), c.level > 100:
		return command{}, errCommand
	}
	c.at = time.UnixMilli(at)
	return c, nil
}
