package console_test

import (
	"regexp"
	"strings"
	"testing"

	"latchkey/gateway/admin/api"
)

// Health shows what the lock says about commands that the store does not know, until somebody
// acknowledges it there. A viewer sees it and cannot.
func TestHealthShowsAnOlderCopy(t *testing.T) {
	h := newHouse(t, here)
	h.addAccount("vic", "viewer")
	h.addAccount("otto", "operator")
	h.lock.Claim(1, 100_000)
	h.lock.Drop()
	const want = "front-lock obeyed command 100,000 and this store ends at "
	h.eventually("the finding has an event", func() bool {
		var d api.Diagnosis
		h.must("GET", "/v1/doctor", "", &d)
		for _, f := range d.Findings {
			if strings.HasPrefix(f.Text, want) && f.Event > 0 {
				return true
			}
		}
		return false
	})
	form := regexp.MustCompile(`action="(/alarms/[0-9]+/acknowledge)"`)
	viewer, operator := h.newBrowser().signIn("vic"), h.newBrowser().signIn("otto")
	if _, text := viewer.do("GET", "/health", ""); !strings.Contains(text, want) || form.MatchString(text) {
		t.Error("a viewer does not see the finding, or sees a way to acknowledge it")
	}
	_, text := operator.do("GET", "/health", "")
	found := form.FindStringSubmatch(text)
	if found == nil || !strings.Contains(text, want) {
		t.Fatal("an operator does not see the finding, or no way to acknowledge it")
	}
	if resp, _ := viewer.do("POST", found[1], ""); resp.StatusCode != 403 {
		t.Errorf("a viewer: got %s, want 403", resp.Status)
	}
	if resp, text := operator.do("POST", found[1], "remark=mine"); resp.StatusCode != 303 {
		t.Fatalf("an operator: got %s %s, want 303", resp.Status, text)
	}
	if _, text := operator.do("GET", "/health", ""); strings.Contains(text, want) || form.MatchString(text) {
		t.Error("the finding is still shown")
	}
}
