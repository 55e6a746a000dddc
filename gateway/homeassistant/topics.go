package homeassistant

import (
	"strings"

	"latchkey/gateway/access"
)

// topics makes the names of topics. They hold ids and never names, so that renaming a door breaks
// nothing, and so that topics tell nothing to those who may only list them.
type topics struct {
	base   string    // of our own topics, such as latchkey
	prefix string    // of Home Assistant's discovery, such as homeassistant
	site   access.ID // of the site
}

// AccessList returns who may do what at the broker, as mosquitto's acl_file has it, for a site whose
// integration has the usual base and prefix. The users are latchkey and homeassistant. The README
// has it, too.
func AccessList(site access.ID) string {
	return strings.ReplaceAll(`user latchkey
topic readwrite homeassistant/device/+/config
topic read homeassistant/status
topic readwrite latchkey/SITE/#

user homeassistant
topic read homeassistant/#
topic write homeassistant/status
topic read latchkey/SITE/#
topic write latchkey/SITE/+/set
`, "SITE", string(site))
}

// The last part of a target's topics.
const (
	leafAvailability = "availability"
	leafState        = "state"
	leafSensed       = "sensed"
	leafAttributes   = "attr"
	leafEvent        = "event"
	leafSet          = "set"
)

// retainedLeaves are those that the broker keeps. They must be emptied when the target goes.
var retainedLeaves = []string{leafAvailability, leafSensed, leafAttributes, leafState}

func (t topics) status() string { return t.base + "/" + string(t.site) + "/status" }

func (t topics) of(target access.ID, leaf string) string {
	return t.base + "/" + string(t.site) + "/" + string(target) + "/" + leaf
}

// device is the id of a target's device in Home Assistant.
func (t topics) device(target access.ID) string { return t.devicePrefix() + string(target) }

func (t topics) devicePrefix() string { return "lk_" + string(t.site) + "_" }

// config is the topic of a target's announcement.
func (t topics) config(target access.ID) string {
	return t.prefix + "/device/" + t.device(target) + "/config"
}

// birth is where Home Assistant says that it has started.
func (t topics) birth() string { return t.prefix + "/status" }

// sets is the filter of all commands, configs that of all announcements, also of others.
func (t topics) sets() string    { return t.of("+", leafSet) }
func (t topics) configs() string { return t.prefix + "/device/+/config" }

// targetOfSet returns the target that a command's topic names.
func (t topics) targetOfSet(topic string) (access.ID, bool) {
	return between(topic, t.base+"/"+string(t.site)+"/", "/"+leafSet)
}

// targetOfConfig returns the target that an announcement of ours is for.
func (t topics) targetOfConfig(topic string) (access.ID, bool) {
	return between(topic, t.prefix+"/device/"+t.devicePrefix(), "/config")
}

// between returns the id that stands between two texts.
func between(topic, before, after string) (access.ID, bool) {
	rest, ok := strings.CutPrefix(topic, before)
	if !ok {
		return "", false
	}
	id, ok := strings.CutSuffix(rest, after)
	if !ok || access.CheckID(access.ID(id)) != nil {
		return "", false
	}
	return access.ID(id), true
}

// clientID is who we are to the broker. It never changes: the broker then ends an old connection of
// ours, with its will, before the new one says online.
func (t topics) clientID(integration access.ID) string {
	return "latchkey-" + string(t.site) + "-" + string(integration)
}
