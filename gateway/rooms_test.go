package gateway_test

import (
	"encoding/xml"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// picture is the part of rooms.svg that is checked: a group for each package, and arrows between
// folders.
type picture struct {
	Rooms []struct {
		Package string `xml:"id,attr"`
		Rect    struct {
			X int `xml:"x,attr"`
			Y int `xml:"y,attr"`
		} `xml:"rect"`
		Texts []string `xml:"text"`
	} `xml:"g"`
	Arrows []struct {
		Folders string `xml:"id,attr"` // the importing folder and the imported one
	} `xml:"path"`
}

// The picture in README.md has a room for each package of the ladder and for no other. A package
// that another one may import stands lower than that one.
func TestPictureShowsTheLadder(t *testing.T) {
	b, err := os.ReadFile("rooms.svg")
	if err != nil {
		t.Fatal(err)
	}
	var p picture
	if err := xml.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Rooms) == 0 || len(p.Arrows) == 0 {
		t.Fatal("found no rooms or no arrows in the picture")
	}
	at := map[string][2]int{}
	for _, r := range p.Rooms {
		folder, _, _ := strings.Cut(r.Package, "/")
		if _, twice := at[r.Package]; twice {
			t.Errorf("%s is in the picture twice", r.Package)
		}
		if _, ok := ladder[r.Package]; !ok {
			t.Errorf("%s is in the picture, but has no rung", r.Package)
		}
		if len(r.Texts) == 0 || r.Package != r.Texts[0] && !strings.HasSuffix(r.Package, "/"+r.Texts[0]) {
			t.Errorf("%s: the room says %q", r.Package, r.Texts)
		}
		place := [2]int{r.Rect.X, r.Rect.Y}
		for other, p := range at {
			if p == place {
				t.Errorf("%s hides %s", r.Package, other)
			}
		}
		if at[r.Package] = place; floors[folder] == 0 && folder != "keys" {
			t.Errorf("%s: the folder %s has no rung", r.Package, folder)
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(ladder)) {
		if _, ok := at[pkg]; !ok {
			t.Errorf("%s is not in the picture", pkg)
		}
	}
	checkHeights(t, at)
	for _, a := range p.Arrows {
		if from, to, ok := strings.Cut(a.Folders, " "); !ok || floors[to] >= floors[from] {
			t.Errorf("an arrow leads from %s to %s, which is not lower", from, to)
		}
	}
}

// checkHeights checks that each package stands above all packages that it may import.
func checkHeights(t *testing.T, at map[string][2]int) {
	t.Helper()
	for upper, u := range at {
		for lower, l := range at {
			here, _, _ := strings.Cut(upper, "/")
			there, _, _ := strings.Cut(lower, "/")
			above := floors[here] > floors[there]
			if here == there {
				above = ladder[upper] > ladder[lower]
			}
			if above && u[1] >= l[1] {
				t.Errorf("%s may import %s, but does not stand above it", upper, lower)
			}
		}
	}
}
