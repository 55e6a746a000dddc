package homeassistant

import (
	"encoding/json"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// Home Assistant learns from an announcement which entities a door or lamp has: one message for the
// whole device, which it calls device discovery. It drops the whole message for one unknown key at
// the root, but only the key for one in a component. So what older releases do not know stands in
// the component.

// announcement is the payload of a target's announcement.
type announcement struct {
	Device       deviceInfo     `json:"dev"`
	Origin       origin         `json:"o"`
	Availability []topicRef     `json:"availability"`
	Mode         string         `json:"availability_mode"`
	QoS          int            `json:"qos"`
	Components   map[string]any `json:"cmps"` // component or removal, by name; the names are stable
}

type deviceInfo struct {
	IDs          []string `json:"ids"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"mf"`
	Model        string   `json:"mdl"`
	Version      string   `json:"sw,omitempty"`
	URL          string   `json:"cu,omitempty"`
}

type origin struct {
	Name    string `json:"name"`
	Version string `json:"sw,omitempty"`
}

type topicRef struct {
	Topic string `json:"topic"`
}

// removal removes a component that was announced before. Leaving it out would keep it.
type removal struct {
	Platform string `json:"p"`
}

// component is one entity. A nil Name makes it the device's main entity, with the device's name.
type component struct {
	Platform    string  `json:"p"`
	UniqueID    string  `json:"unique_id"`
	Name        *string `json:"name"`
	DeviceClass string  `json:"device_class,omitempty"`
	StateTopic  string  `json:"state_topic"`
	Value       string  `json:"value_template,omitempty"`

	// For those that take commands.
	Attributes string `json:"json_attributes_topic,omitempty"`
	Command    string `json:"command_topic,omitempty"`
	Retain     *bool  `json:"retain,omitempty"`
	Optimistic *bool  `json:"optimistic,omitempty"`
	Expiry     int    `json:"message_expiry_interval,omitempty"` // seconds

	// For a lock.
	PayloadLock   string `json:"payload_lock,omitempty"`
	PayloadUnlock string `json:"payload_unlock,omitempty"`
	CodeFormat    string `json:"code_format,omitempty"`
	Template      string `json:"command_template,omitempty"`

	// For a light.
	Schema      string `json:"schema,omitempty"`
	State       string `json:"state_template,omitempty"`
	Brightness  string `json:"brightness_template,omitempty"`
	OnTemplate  string `json:"command_on_template,omitempty"`
	OffTemplate string `json:"command_off_template,omitempty"`

	// For events and sensors.
	EventTypes []string `json:"event_types,omitempty"`
	Unit       string   `json:"unit_of_measurement,omitempty"`
	StateClass string   `json:"state_class,omitempty"`
	Category   string   `json:"entity_category,omitempty"`
	Enabled    *bool    `json:"enabled_by_default,omitempty"`
}

// The templates that Home Assistant fills in. Every command carries its own time and the echo that
// we gave it last.
const (
	freshness = `"e":"{{ this.attributes.get('echo','') }}","t":{{ (utcnow().timestamp()*1000)|int }}`

	lockCommand = `{"a":"{{ value }}",` + freshness + `,"c":"{{ code | default('', true) }}"}`
	lampOff     = `{"a":"off",` + freshness + `}`
	lampOn      = `{"a":"on",` + freshness + `}`
	lampDim     = `{"a":"{{ 'level' if brightness is defined else 'on' }}",{% if brightness is defined %}` +
		`"l":{{ [1, (brightness*100/255)|round|int]|max }},{% endif %}` + freshness + `}`

	lampState      = `{{ 'None' if value_json.state is none else value_json.state|lower }}`
	lampBrightness = `{{ ((value_json.brightness*255/100)|round|int) if value_json.brightness else '' }}`
	lampIsOn       = `{{ value_json.state if value_json.state in ['ON','OFF'] else 'None' }}`
	lockIsOpen     = `{{ {'LOCKED':'OFF','UNLOCKED':'ON'}.get(value, 'None') }}`

	contactIsOpen = `{{ {'open':'ON','closed':'OFF'}.get(value_json.contact, 'None') }}`
	tamperIsOn    = `{{ 'None' if value_json.tamper is none else 'ON' if value_json.tamper else 'OFF' }}`
	alarmIsOn     = `{{ 'OFF' if value_json.alarm is none else 'ON' }}`
	rssiValue     = `{{ value_json.rssi }}`
	voltsValue    = `{{ value_json.volts }}`
)

// codeFormat is which codes Home Assistant passes on. It keeps quotes and backslashes out, which
// the template would put into the JSON as they are.
const codeFormat = `^[0-9]{6,12}$`

// commandExpiry is how long a broker may keep a command for us, in seconds. Home Assistant knows it
// since 2026.6 and needs its MQTT set to protocol 5. Nothing here relies on it.
const commandExpiry = 3

// may is what an integration may ask of a target, at any time.
type may struct {
	unlock, lock bool
	on, off      bool
	level        bool
	code         bool // unlocking asks for a code
}

// findMay asks the policy which actions of a target an integration may ask for.
func findMay(allowed func(wire.Action) bool) may {
	return may{unlock: allowed(wire.Unlock), lock: allowed(wire.Lock), on: allowed(wire.On),
		off: allowed(wire.Off), level: allowed(wire.Level)}
}

// about is what announcements say about us.
type about struct {
	Version string
	URL     string // of the console; empty: none
}

// announce returns the announcement of a target. Home Assistant has no lock that cannot be
// commanded, so a door becomes a lock only if the integration may unlock it, and a sensor
// otherwise. It is the same for a lamp.
func (t topics) announce(target access.Target, m may, a about) []byte {
	b := builder{t, target.ID}
	cmps := map[string]any{
		"activity": b.activity(target.Kind),
		"tamper":   b.flag("tamper", "Tamper", "tamper", tamperIsOn),
		"alarm":    b.flag("alarm", "Alarm", "safety", alarmIsOn),
		"rssi":     b.measure("rssi", "Signal", "signal_strength", "dBm", rssiValue),
		"volts":    b.measure("volts", "Supply", "voltage", "V", voltsValue),
	}
	switch target.Kind {
	case access.Door:
		cmps["contact"] = b.flag("contact", "Contact", "door", contactIsOpen)
		cmps["lock"], cmps["bolt"] = removal{"lock"}, b.state("bolt", "lock", lockIsOpen)
		if m.unlock {
			cmps["lock"], cmps["bolt"] = b.lock(m), removal{"binary_sensor"}
		}
	default:
		cmps["light"], cmps["glow"] = removal{"light"}, b.state("glow", "light", lampIsOn)
		if m.on && m.off {
			cmps["light"], cmps["glow"] = b.light(m), removal{"binary_sensor"}
		}
	}
	payload, err := json.Marshal(announcement{
		Device: deviceInfo{IDs: []string{t.device(target.ID)}, Name: target.Name, Manufacturer: "latchkey",
			Model: string(target.Kind), Version: a.Version, URL: a.URL},
		Origin:       origin{"latchkey", a.Version},
		Availability: []topicRef{{t.status()}, {t.of(target.ID, leafAvailability)}},
		Mode:         "all", QoS: 1, Components: cmps})
	if err != nil {
		panic(err) // our own types
	}
	return payload
}

// builder makes the components of one target.
type builder struct {
	topics
	target access.ID
}

func (b builder) component(platform, name string) component {
	return component{Platform: platform, UniqueID: b.device(b.target) + "_" + name}
}

// commanded adds what every component with commands has.
func (b builder) commanded(c component) component {
	no := false
	c.StateTopic, c.Attributes = b.of(b.target, leafState), b.of(b.target, leafAttributes)
	c.Command, c.Retain, c.Optimistic = b.of(b.target, leafSet), &no, &no
	c.Expiry = commandExpiry
	return c
}

func (b builder) lock(m may) component {
	c := b.commanded(b.component("lock", "lock"))
	c.PayloadLock, c.PayloadUnlock = wire.Lock.String(), wire.Unlock.String()
	c.Template = lockCommand
	if m.code {
		c.CodeFormat = codeFormat
	}
	return c
}

// light uses Home Assistant's template schema: its JSON schema has no command template, so a
// command could carry neither time nor echo.
func (b builder) light(m may) component {
	c := b.commanded(b.component("light", "light"))
	c.Schema, c.State, c.OnTemplate, c.OffTemplate = "template", lampState, lampOn, lampOff
	if m.level {
		c.Brightness, c.OnTemplate = lampBrightness, lampDim
	}
	return c
}

// state shows the target's state where it cannot be commanded.
func (b builder) state(name, class, template string) component {
	c := b.component("binary_sensor", name)
	c.DeviceClass, c.StateTopic, c.Value = class, b.of(b.target, leafState), template
	return c
}

// flag shows one thing that is sensed.
func (b builder) flag(name, label, class, template string) component {
	c := b.component("binary_sensor", name)
	c.Name, c.DeviceClass, c.StateTopic, c.Value = &label, class, b.of(b.target, leafSensed), template
	return c
}

// measure shows a measured value. Few want to see it, so Home Assistant does not unless asked.
func (b builder) measure(name, label, class, unit, template string) component {
	no := false
	c := b.component("sensor", name)
	c.Name, c.DeviceClass, c.StateTopic, c.Value = &label, class, b.of(b.target, leafSensed), template
	c.Unit, c.StateClass, c.Category, c.Enabled = unit, "measurement", "diagnostic", &no
	return c
}

// activity is what happened at the target.
func (b builder) activity(kind access.TargetKind) component {
	label := "Activity"
	c := b.component("event", "activity")
	c.Name, c.StateTopic = &label, b.of(b.target, leafEvent)
	c.EventTypes = []string{string(eventGranted), string(eventDenied), string(eventRetry),
		string(eventTampered)}
	if kind == access.Door {
		c.EventTypes = append(c.EventTypes, string(eventForced), string(eventExit))
	}
	return c
}
