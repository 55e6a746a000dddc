package homeassistant

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"latchkey/gateway/access"
)

func announced(t *testing.T, kind access.TargetKind, m may) map[string]any {
	t.Helper()
	root, err := checkAnnouncement(testTopics().announce(access.Target{ID: testTarget, Name: "porch",
		Kind: kind},
		m, about{}))
	if err != nil {
		t.Fatal(err)
	}
	return root["components"].(map[string]any)
}

func TestWhatIsAnnounced(t *testing.T) {
	always := []string{"activity", "alarm", "rssi", "tamper", "volts"}
	for _, c := range []struct {
		rule string
		kind access.TargetKind
		may  may
		want []string
	}{
		{"a door is a sensor without a grant", access.Door, may{}, []string{"bolt", "contact"}},
		{"a door that may only be locked is a sensor", access.Door, may{lock: true}, []string{"bolt",
			"contact"}},
		{"a door that may be unlocked is a lock", access.Door, may{unlock: true}, []string{"lock",
			"contact"}},
		{"a lamp is a sensor without a grant", access.Lamp, may{}, []string{"glow"}},
		{"a lamp that may only be lit is a sensor", access.Lamp, may{on: true}, []string{"glow"}},
		{"a lamp that may be switched is a light", access.Lamp, may{on: true, off: true}, []string{"light"}},
	} {
		cmps := announced(t, c.kind, c.may)
		for name, v := range cmps {
			if len(v.(map[string]any)) == 1 { // a removal
				delete(cmps, name)
			}
		}
		want := slices.Sorted(slices.Values(append(slices.Clone(always), c.want...)))
		if got := slices.Sorted(maps.Keys(cmps)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", c.rule, got, want)
		}
	}
}

// A component that goes must be removed by name, or Home Assistant keeps it.
func TestWhatBecomesAnotherKindIsRemoved(t *testing.T) {
	for _, c := range []struct {
		kind     access.TargetKind
		may      may
		gone     string
		platform string
	}{
		{access.Door, may{}, "lock", "lock"},
		{access.Door, may{unlock: true}, "bolt", "binary_sensor"},
		{access.Lamp, may{}, "light", "light"},
		{access.Lamp, may{on: true, off: true}, "glow", "binary_sensor"},
	} {
		got := announced(t, c.kind, c.may)[c.gone].(map[string]any)
		if len(got) != 1 || got["platform"] != c.platform {
			t.Errorf("%s %+v: %s is %v", c.kind, c.may, c.gone, got)
		}
	}
}

func TestCodeIsAskedForOnlyIfTheGrantDoes(t *testing.T) {
	for _, code := range []bool{false, true} {
		lock := announced(t, access.Door, may{unlock: true, code: code})["lock"].(map[string]any)
		if _, asks := lock["code_format"]; asks != code {
			t.Errorf("code %v: got %v", code, lock["code_format"])
		}
	}
}

// Topics are made of ids alone, so that a new name breaks nothing.
func TestNamesAreInNoTopic(t *testing.T) {
	for name, payload := range allAnnouncements() {
		if strings.Count(string(payload), "front-door") != 1 {
			t.Errorf("%s: the name is there more than once", name)
		}
	}
}

func TestTargetOfATopic(t *testing.T) {
	ts := testTopics()
	for topic, want := range map[string]access.ID{
		ts.of(testTarget, leafSet):                    testTarget,
		"latchkey/h3n8p2r5tv/a1b2c3d4e5/state":        "",
		"latchkey/h3n8p2r5tw/a1b2c3d4e5/set":          "",
		"latchkey/h3n8p2r5tv/a1b2c3d4e5/x/set":        "",
		"latchkey/h3n8p2r5tv//set":                    "",
		"latchkey/h3n8p2r5tv/../set":                  "",
		"latchkey/h3n8p2r5tv/a1b2c3d4e5/set/":         "",
		"x/latchkey/h3n8p2r5tv/a1b2c3d4e5/set":        "",
		"homeassistant/device/lk_h3n8p2r5tv_x/config": "",
	} {
		if got, _ := ts.targetOfSet(topic); got != want {
			t.Errorf("%s: got %q, want %q", topic, got, want)
		}
	}
	for topic, want := range map[string]access.ID{
		ts.config(testTarget): testTarget,
		"homeassistant/device/lk_aaaaaaaaaa_a1b2c3d4e5/config": "",
		"homeassistant/device/zigbee/config":                   "",
	} {
		if got, _ := ts.targetOfConfig(topic); got != want {
			t.Errorf("%s: got %q, want %q", topic, got, want)
		}
	}
}
