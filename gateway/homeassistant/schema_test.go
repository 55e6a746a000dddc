package homeassistant

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"latchkey/gateway/access"
)

// This is what Home Assistant's MQTT integration admits, in our own words. It was read from core's
// homeassistant/components/mqtt as of October 2026 (schemas.py, config.py, abbreviations.py,
// discovery.py; release 2026.9.1 has the same root), and from copies of 2022 to 2025 of the
// platforms lock, light (template schema), binary_sensor, sensor and event. It is stricter in one
// thing: a component must not have a key that Home Assistant drops.

// check tells what is wrong with a value; nil: nothing.
type check func(v any) error

// keySet is the keys that an object may have, those in need being required.
type keySet struct {
	keys map[string]check
	need []string
}

// with returns the keys of both.
func (k keySet) with(more map[string]check, need ...string) keySet {
	all := maps.Clone(k.keys)
	maps.Copy(all, more)
	return keySet{all, append(slices.Clone(k.need), need...)}
}

func (k keySet) check(v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no object", v)
	}
	for key, value := range object {
		c, known := k.keys[key]
		if !known {
			return fmt.Errorf("extra keys not allowed: %s", key)
		}
		if err := c(value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range k.need {
		if _, ok := object[key]; !ok {
			return fmt.Errorf("required key not provided: %s", key)
		}
	}
	return nil
}

func isText(v any) error {
	if _, ok := v.(string); !ok {
		return fmt.Errorf("%v is no text", v)
	}
	return nil
}

func isTextOrNull(v any) error {
	if v == nil {
		return nil
	}
	return isText(v)
}

func isFlag(v any) error {
	if _, ok := v.(bool); !ok {
		return fmt.Errorf("%v is neither true nor false", v)
	}
	return nil
}

func isCount(v any) error {
	if n, ok := v.(float64); !ok || n < 0 || n != float64(int(n)) {
		return fmt.Errorf("%v is no positive whole number", v)
	}
	return nil
}

func isQoS(v any) error {
	if n, ok := v.(float64); !ok || n != 0 && n != 1 && n != 2 {
		return fmt.Errorf("QoS %v", v)
	}
	return nil
}

// isTemplate looks for pairs only. TestTemplates renders them.
func isTemplate(v any) error {
	s, ok := v.(string)
	if !ok || strings.Count(s, "{{") != strings.Count(s, "}}") || strings.Count(s, "{%") != strings.Count(s,
		"%}") {
		return fmt.Errorf("%v is no template", v)
	}
	return nil
}

func isTopic(wildcards bool) check {
	return func(v any) error {
		s, ok := v.(string)
		switch {
		case !ok, s == "", len(s) > 65535, !utf8.ValidString(s), strings.ContainsFunc(s, func(r rune) bool {
			return r <= 0x1f || r >= 0x7f && r <= 0x9f
		}):
			return fmt.Errorf("%v is no topic", v)
		case !wildcards && strings.ContainsAny(s, "+#"):
			return fmt.Errorf("%v has a wildcard", v)
		}
		return nil
	}
}

func isURL(v any) error {
	s, _ := v.(string)
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "homeassistant"}, u.Scheme) {
		return fmt.Errorf("%v is no URL", v)
	}
	return nil
}

func isPattern(v any) error {
	s, _ := v.(string)
	_, err := regexp.Compile(s)
	return err
}

func isOneOf(texts ...string) check {
	return func(v any) error {
		if s, ok := v.(string); !ok || !slices.Contains(texts, s) {
			return fmt.Errorf("%v is none of %v", v, texts)
		}
		return nil
	}
}

func isListOf(c check, least int) check {
	return func(v any) error {
		list, ok := v.([]any)
		if !ok || len(list) < least {
			return fmt.Errorf("%v is no list of at least %d", v, least)
		}
		for _, e := range list {
			if err := c(e); err != nil {
				return err
			}
		}
		return nil
	}
}

var (
	subscribed, published = isTopic(true), isTopic(false)

	availabilityKeys = map[string]check{
		"availability_topic": subscribed, "availability_template": isTemplate,
		"payload_available": isText, "payload_not_available": isText,
		"availability_mode": isOneOf("all", "any", "latest"),
		"availability": isListOf(keySet{map[string]check{"topic": subscribed, "payload_available": isText,
			"payload_not_available": isText, "value_template": isTemplate}, []string{"topic"}}.check, 1),
	}

	deviceKeys = keySet{map[string]check{"identifiers": isListOf(isText, 1), "manufacturer": isText,
		"model": isText, "model_id": isText, "name": isText, "hw_version": isText, "serial_number": isText,
		"sw_version": isText, "via_device": isText, "suggested_area": isText, "configuration_url": isURL},
		[]string{"identifiers"}}

	originKeys = keySet{map[string]check{"name": isText, "sw_version": isText, "support_url": isURL},
		[]string{"name"}}

	// rootKeys is closed: one unknown key drops the whole message. Before 2026.6 it did not have
	// message_expiry_interval, so it does not here.
	rootKeys = keySet{keys: availabilityKeys}.with(map[string]check{"device": deviceKeys.check,
		"origin": originKeys.check, "components": checkComponents, "state_topic": subscribed,
		"command_topic": published, "qos": isQoS, "encoding": isText}, "device", "origin", "components")

	entityKeys = keySet{keys: availabilityKeys}.with(map[string]check{"platform": isText, "unique_id": isText,
		"enabled_by_default": isFlag, "entity_category": isOneOf("config", "diagnostic"), "icon": isText,
		"json_attributes_topic": subscribed, "json_attributes_template": isTemplate,
		"message_expiry_interval": isCount, "default_entity_id": isText, "name": isTextOrNull, "qos": isQoS,
		"encoding": isText}, "platform", "unique_id")

	readKeys = entityKeys.with(map[string]check{"state_topic": subscribed, "value_template": isTemplate},
		"state_topic")

	writeKeys = entityKeys.with(map[string]check{"state_topic": subscribed, "command_topic": published,
		"optimistic": isFlag, "retain": isFlag}, "command_topic")

	platformKeys = map[string]keySet{
		"lock": writeKeys.with(map[string]check{"code_format": isPattern, "command_template": isTemplate,
			"payload_lock": isText, "payload_unlock": isText, "payload_open": isText, "payload_reset": isText,
			"state_jammed": isText, "state_locked": isText, "state_locking": isText, "state_unlocked": isText,
			"state_unlocking": isText, "value_template": isTemplate}),
		"light": writeKeys.with(map[string]check{"schema": isOneOf("template"),
			"command_on_template": isTemplate, "command_off_template": isTemplate,
			"state_template":      isTemplate,
			"brightness_template": isTemplate}, "schema", "command_on_template", "command_off_template"),
		"binary_sensor": readKeys.with(map[string]check{"expire_after": isCount, "force_update": isFlag,
			"off_delay": isCount, "payload_on": isText, "payload_off": isText,
			"device_class": isOneOf("door", "light", "lock", "opening", "problem", "safety", "tamper")}),
		"sensor": readKeys.with(map[string]check{"expire_after": isCount, "force_update": isFlag,
			"suggested_display_precision": isCount, "unit_of_measurement": isTextOrNull,
			"state_class":  isOneOf("measurement", "total", "total_increasing", "measurement_angle"),
			"device_class": isOneOf("signal_strength", "voltage")}),
		"event": readKeys.with(map[string]check{"event_types": isListOf(isText, 1),
			"device_class": isOneOf("button", "doorbell", "motion")}, "event_types"),
	}
)

// units are those that a class of sensor has.
var units = map[string][]string{"signal_strength": {"dB", "dBm"}, "voltage": {"µV", "mV", "V", "kV", "MV"}}

// checkComponents admits a component with no key but its platform: it removes one.
func checkComponents(v any) error {
	all, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no object", v)
	}
	for name, c := range all {
		object, _ := c.(map[string]any)
		platform, _ := object["platform"].(string)
		keys, ok := platformKeys[platform]
		if !ok {
			return fmt.Errorf("%s: platform %q", name, platform)
		}
		if len(object) == 1 {
			continue
		}
		if err := keys.check(c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		class, _ := object["device_class"].(string)
		if unit, ok := object["unit_of_measurement"].(string); ok && units[class] != nil &&
			!slices.Contains(units[class], unit) {
			return fmt.Errorf("%s: a %s is not measured in %s", name, class, unit)
		}
		if !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(name) {
			return fmt.Errorf("%q is no name of a component", name)
		}
	}
	return nil
}

// The abbreviations that we use, and some that would catch a key of ours by mistake.
var (
	abbreviations = map[string]string{"dev": "device", "o": "origin", "cmps": "components", "p": "platform",
		"avty": "availability", "t": "topic", "e": "encoding", "name": "name", "mode": "mode"}
	deviceAbbreviations = map[string]string{"ids": "identifiers", "name": "name", "mf": "manufacturer",
		"mdl": "model", "sw": "sw_version", "cu": "configuration_url", "hw": "hw_version",
		"sa": "suggested_area"}
	originAbbreviations = map[string]string{"name": "name", "sw": "sw_version", "url": "support_url"}
)

func expand(v any, names map[string]string) {
	object, _ := v.(map[string]any)
	for short, long := range names {
		if value, ok := object[short]; ok && short != long {
			delete(object, short)
			object[long] = value
		}
	}
}

// checkAnnouncement does to an announcement what Home Assistant does first.
func checkAnnouncement(payload []byte) (map[string]any, error) {
	var root map[string]any
	if err := json.Unmarshal(payload, &root); err != nil {
		return nil, err
	}
	expand(root, abbreviations)
	expand(root["device"], deviceAbbreviations)
	expand(root["origin"], originAbbreviations)
	components, _ := root["components"].(map[string]any)
	for _, c := range components {
		expand(c, abbreviations)
	}
	return root, rootKeys.check(root)
}

const (
	testSite   access.ID = "h3n8p2r5tv"
	testTarget access.ID = "a1b2c3d4e5"
)

func testTopics() topics { return topics{"latchkey", "homeassistant", testSite} }

// allAnnouncements is every announcement that we can make of one target.
func allAnnouncements() map[string][]byte {
	all := map[string][]byte{}
	for bits := range 1 << 6 {
		m := may{bits&1 > 0, bits&2 > 0, bits&4 > 0, bits&8 > 0, bits&16 > 0, bits&32 > 0}
		for _, kind := range []access.TargetKind{access.Door, access.Lamp} {
			for _, a := range []about{{}, {"0.3.0", "https://door.example.net/"}} {
				target := access.Target{ID: testTarget, Name: "front-door", Kind: kind}
				all[fmt.Sprintf("%s %+v %+v", kind, m, a)] = testTopics().announce(target, m, a)
			}
		}
	}
	return all
}

func TestHomeAssistantAdmitsEveryAnnouncement(t *testing.T) {
	for name, payload := range allAnnouncements() {
		if _, err := checkAnnouncement(payload); err != nil {
			t.Errorf("%s: %v\n%s", name, err, payload)
		}
	}
}

// The schema itself refuses what Home Assistant refuses.
func TestSchemaRefuses(t *testing.T) {
	good := string(testTopics().announce(access.Target{ID: testTarget, Name: "front-door", Kind: access.Door},
		may{unlock: true, code: true}, about{"0.3.0", ""}))
	for name, edit := range map[string][2]string{
		"an unknown key at the root":          {`{"dev"`, `{"x":1,"dev"`},
		"an expiry at the root":               {`{"dev"`, `{"message_expiry_interval":3,"dev"`},
		"a base topic at the root":            {`{"dev"`, `{"~":"latchkey","dev"`},
		"an unknown key in a component":       {`"optimistic"`, `"optimystic"`},
		"an unknown key in the device":        {`"mf"`, `"mx"`},
		"no identifiers":                      {`"ids":["lk_`, `"ids":[],"sn":["lk_`},
		"a number as a name":                  {`"name":"Tamper"`, `"name":7`},
		"a text as a flag":                    {`"optimistic":false`, `"optimistic":"never"`},
		"no unique id":                        {`"unique_id":"lk_h3n8p2r5tv_a1b2c3d4e5_lock",`, ``},
		"no command topic of a lock":          {`"command_topic":"latchkey/h3n8p2r5tv/a1b2c3d4e5/set",`, ``},
		"a wildcard in the command topic":     {`a1b2c3d4e5/set`, `+/set`},
		"QoS 3":                               {`"qos":1`, `"qos":3`},
		"an expiry that is no number":         {`interval":3`, `interval":"3"`},
		"a class that there is not":           {`"device_class":"door"`, `"device_class":"gate"`},
		"a unit that the class does not have": {`"dBm"`, `"V"`},
		"a platform that there is not":        {`"p":"lock"`, `"p":"bolt"`},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if _, err := checkAnnouncement([]byte(bad)); bad == good || err == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Home Assistant takes a topic as an announcement only if its parts have these characters.
func TestTopicOfAnAnnouncement(t *testing.T) {
	topic := testTopics().config(testTarget)
	if topic != "homeassistant/device/lk_h3n8p2r5tv_a1b2c3d4e5/config" ||
		!regexp.MustCompile(`^homeassistant/device/[a-zA-Z0-9_-]+/config$`).MatchString(topic) {
		t.Errorf("got %s", topic)
	}
}
