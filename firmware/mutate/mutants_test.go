package main

import (
	"strings"
	"testing"
)

const source = `#include "x.h" /* a < b */
enum { LIMIT = 10, PAUSE = 60000 };

/* Not code: a && b. */
static int f(const struct s *s, int n)
{
	struct t v = {.a = 1};
	const char *text = "a < b";
	char b[17];

	(void)text;
	if (n < 3 && !s->on)
		return LK_EIO;
	for (int i = 0; i < n; i++)
		v.a += i;
	lk_link_log(s, "text", n + 17);
	call(s, (struct t){.a = n});
	return v.a - -1;
}
`

func TestMutants(t *testing.T) {
	got := map[string]bool{}
	for _, m := range mutants("x.c", source) {
		if strings.Count(m.apply(source), "\n") != strings.Count(source, "\n") {
			t.Errorf("%s changes the lines", m.key())
		}
		if got[m.key()] {
			t.Errorf("%s is there twice", m.key())
		}
		got[m.key()] = true
	}
	for _, want := range []string{
		"x.c:\tenum { LIMIT = 10, PAUSE = 60000 };\tenum { LIMIT = 11, PAUSE = 60000 };",
		"x.c:\tenum { LIMIT = 10, PAUSE = 60000 };\tenum { LIMIT = 9, PAUSE = 60000 };",
		"x.c:\tenum { LIMIT = 10, PAUSE = 60000 };\tenum { LIMIT = 10, PAUSE = 30000 };",
		"x.c:\tenum { LIMIT = 10, PAUSE = 60000 };\tenum { LIMIT = 10, PAUSE = 120000 };",
		"x.c:f\tchar b[17];\tchar b[16];",
		"x.c:f\tif (n < 3 && !s->on)\tif (n <= 3 && !s->on)",
		"x.c:f\tif (n < 3 && !s->on)\tif (n < 3 || !s->on)",
		"x.c:f\tif (n < 3 && !s->on)\tif (n < 3 && s->on)",
		"x.c:f\tif (n < 3 && !s->on)\tif (!(n < 3 && !s->on))",
		"x.c:f\tif (n < 3 && !s->on)\tif (n < 4 && !s->on)",
		"x.c:f\treturn LK_EIO;\treturn 0;",
		"x.c:f\tv.a += i;\t;",
		"x.c:f\tv.a += i;\tv.a -= i;",
		"x.c:f\tcall(s, (struct t){.a = n});\t;",
		"x.c:f\treturn v.a - -1;\treturn v.a + -1;",
		"x.c:f\treturn v.a - -1;\treturn 0;",
	} {
		if !got[want] {
			t.Errorf("missing: %q", want)
		}
	}
	for key := range got {
		if strings.Contains(key, "a < b") || strings.Contains(key, "a && b") ||
			strings.Contains(key, "(void)") ||
			strings.Contains(key, "lk_link_log") || strings.Contains(key, "b[18]") {
			t.Errorf("not code: %q", key)
		}
	}
}
