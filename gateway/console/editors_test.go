package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/gateway/admin/api"
)

// Two people have the same form open. The later of them hears that the other was quicker, on a page
// that shows the record as it is now, and can save after all.
func TestLaterOfTwoFormsHearsOfIt(t *testing.T) {
	h := newHouse(t)
	h.account("eva", "owner")
	b := h.browser().signedIn("eva")
	tag := regexp.MustCompile(`name="etag" value="([0-9a-f]{16})"`)
	save := func(text, seen string) (int, string) {
		resp, page := b.do("POST", "/schedules/night", url.Values{"form": {"night"}, "etag": {seen},
			"name": {"night"}, "text": {text}}.Encode())
		return resp.StatusCode, page
	}
	h.must("POST", "/v1/schedules", `{"name":"night","text":"mon 20:00-22:00"}`, nil)
	_, page := b.do("GET", "/schedules", "")
	seen := tag.FindAllStringSubmatch(page, -1)
	if len(seen) == 0 {
		t.Fatal("the form carries no tag")
	}
	var night api.Schedule
	h.must("GET", "/v1/schedules/night", "", &night)
	if !strings.Contains(page, night.ETag) {
		t.Fatal("the form does not carry the tag of its record")
	}

	if code, text := save("tue 20:00-22:00", night.ETag); code != http.StatusSeeOther {
		t.Fatalf("the first: got %d %s", code, text)
	}
	code, page := save("wed 20:00-22:00", night.ETag)
	if code != http.StatusUnprocessableEntity || !strings.Contains(page, "omebody else has changed it") {
		t.Fatalf("the second: got %d, want 422, as of every form that is not saved, and why", code)
	}
	h.must("GET", "/v1/schedules/night", "", &night)
	if night.Text != "tue 20:00-22:00" {
		t.Fatalf("got %q, want what the first saved", night.Text)
	}
	if !strings.Contains(page, night.ETag) {
		t.Fatal("the page that says so does not carry the tag of now")
	}
	if code, text := save("wed 20:00-22:00", night.ETag); code != http.StatusSeeOther {
		t.Fatalf("the second, who has heard of it: got %d %s", code, text)
	}
}
