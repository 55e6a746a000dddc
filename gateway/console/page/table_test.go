package page

import "testing"

func TestInert(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "ann": "ann", "a=b": "a=b", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(1)": "'@SUM(1)",
		"\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		"＝1+1": "'＝1+1", "＠SUM(1)": "'＠SUM(1)", "Ünal": "Ünal", "\xff=1": "\xff=1", "'=1": "'=1",
	} {
		if got := inert(cell); got != want {
			t.Errorf("%q: got %q, want %q", cell, got, want)
		}
	}
}
