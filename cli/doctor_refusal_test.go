package cli

import (
	"testing"

	"latchkey/gateway/doctor"
)

func TestDoctorShowsARefusal(t *testing.T) {
	const at = "2026-11-29 08:00:00"
	for _, tc := range []struct {
		r    doctor.Refusal
		want string
	}{
		{doctor.Refusal{Request: "POST /scan", Code: "4.00", Why: "scan: uid is missing"},
			"last refusal: " + at +
				", the gateway answered POST /scan of front-reader with 4.00: scan: uid is missing"},
		{doctor.Refusal{Code: "4.02", Why: "option 27"}, "last refusal: " + at +
			", the gateway answered a request of front-reader with 4.02: option 27"},
		{doctor.Refusal{ByDevice: true, Request: "POST /act", Code: "4.00"}, "last refusal: " + at +
			", front-reader answered POST /act of the gateway with 4.00"},
	} {
		if got := refused("front-reader", tc.r, at); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
