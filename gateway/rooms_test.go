package gateway_test

import (
	"encoding/xml"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// picture is what has to be true of rooms.svg: a group for each package, and arrows between
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
		Folders string `xml:"id,attr"` // who imports, and from whom
	} `xml:"path"`
}

// The picture in README.md has a room for each package of the ladder and for no other, and what may
// be imported stands lower.
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
		t.Fatal("the picture was not understood")
	}
	at := map[string][2]int{}
	for _, r := range p.Rooms {
		folder, _, _ := strings.Cut(r.Package, "/")
		if _, twice := at[r.Package]; twice {
			t.Errorf("%s is there twice", r.Package)
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
			t.Errorf("%s: no folder %s", r.Package, folder)
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
			t.Errorf("an arrow leads from %s to %s", from, to)
		}
	}
}

// checkHeights finds each package that may import another one and does not stand above it.
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
				t.Errorf("%s may import %s and does not stand above it", upper, lower)
			}
		}
	}
}
