package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"latchkey/gateway/admin/api"
)

// Two people have the same form open. The one who saves later is refused, on a page with the
// present record, and can then save.
func TestLaterOfTwoFormsIsRefused(t *testing.T) {
	h := newHouse(t)
	h.addAccount("eva", "owner")
	b := h.newBrowser().signIn("eva")
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
		t.Fatal("the form has no tag")
	}
	var night api.Schedule
	h.must("GET", "/v1/schedules/night", "", &night)
	if !strings.Contains(page, night.ETag) {
		t.Fatal("the form does not have the tag of its record")
	}

	if code, text := save("tue 20:00-22:00", night.ETag); code != http.StatusSeeOther {
		t.Fatalf("the first: got %d %s", code, text)
	}
	code, page := save("wed 20:00-22:00", night.ETag)
	if code != http.StatusUnprocessableEntity || !strings.Contains(page, "omebody else has changed it") {
		t.Fatalf("the second: got %d, want 422, as for every form that is not saved, and the reason", code)
	}
	h.must("GET", "/v1/schedules/night", "", &night)
	if night.Text != "tue 20:00-22:00" {
		t.Fatalf("got %q, want the text that the first has saved", night.Text)
	}
	if !strings.Contains(page, night.ETag) {
		t.Fatal("the page of the refusal does not have the present tag")
	}
	if code, text := save("wed 20:00-22:00", night.ETag); code != http.StatusSeeOther {
		t.Fatalf("the second, with the present tag: got %d %s", code, text)
	}
}
