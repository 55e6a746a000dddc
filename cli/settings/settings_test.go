package settings

import (
	"reflect"
	"slices"
	"testing"
)

func TestEverySettingCanBeInTheFile(t *testing.T) {
	var got []string
	for field := range reflect.TypeFor[tomlFile]().Fields() {
		got = append(got, field.Tag.Get("toml"))
	}
	if want := fileNames(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
