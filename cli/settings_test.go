package cli

import (
	"reflect"
	"slices"
	"testing"
)

func TestEachSettingMayStandInTheFile(t *testing.T) {
	var got []string
	for field := range reflect.TypeFor[settingsFile]().Fields() {
		got = append(got, field.Tag.Get("toml"))
	}
	if want := settingNames(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
