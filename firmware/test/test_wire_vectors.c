/* Checks wire, senml and echo against the same vectors as the gateway. The file
 * coapres/wire/testdata/vectors.txt explains its grammar. */
#include <stdbool.h>
#include <stdlib.h>

#include "cbor.h"
#include "check.h"
#include "echo.h"
#include "err.h"
#include "messages.h"
#include "senml.h"

#ifndef LK_VECTORS
#define LK_VECTORS "../coapres/wire/testdata/vectors.txt"
#endif

enum { ECHO_RULE = MESSAGES, REPORT, KINDS };

/* Vectors are added and never removed, so with fewer of them the file was not read to its end. */
static const struct {
	const char *name;
	int good, bad, more;
} kinds[KINDS] = {
	[SCAN] = {"scan", 35, 67, 0},
	[ACT] = {"act", 13, 19, 0},
	[VERDICT] = {"verdict", 10, 93, 42},
	[COMMAND] = {"command", 16, 26, 0},
	[STATE] = {"state", 15, 31, 4},
	[RECEIPT] = {"receipt", 5, 14, 3},
	[ECHO_RULE] = {"echo", 149, 0, 0},
	[REPORT] = {"report", 25, 0, 0},
};

static bool states_equal(const struct lk_state *a, const struct lk_state *b)
{
	return a->id == b->id && a->on == b->on && a->level == b->level && a->contact == b->contact &&
	       a->left == b->left && a->obeyed == b->obeyed && a->epoch == b->epoch;
}

static bool messages_equal(int kind, const union message *a, const union message *b)
{
	switch (kind) {
	case SCAN:
		return a->scan.n == b->scan.n && a->scan.uid_len == b->scan.uid_len && a->scan.age == b->scan.age &&
		       memcmp(a->scan.uid, b->scan.uid, LK_UID_MAX) == 0;
	case ACT:
		return a->act.n == b->act.n && a->act.action == b->act.action && a->act.level == b->act.level &&
		       a->act.age == b->act.age;
	case VERDICT:
		return a->verdict.verdict == b->verdict.verdict && a->verdict.last == b->verdict.last;
	case COMMAND:
		return a->command.id == b->command.id && a->command.action == b->command.action &&
		       a->command.level == b->command.level && a->command.duration == b->command.duration &&
		       a->command.age == b->command.age && a->command.epoch == b->command.epoch;
	case STATE:
		return states_equal(&a->state, &b->state);
	default:
		return a->receipt.result == b->receipt.result && states_equal(&a->receipt.state, &b->receipt.state);
	}
}

/* One line of the vectors, cut into words. */
struct line {
	int number;
	size_t count;
	char *words[40];
	size_t fields; /* index of the first field */
	size_t named;  /* how many fields the test has read */
};

static void line_check(const struct line *l, bool ok, const char *what)
{
	check_done++;
	if (!ok) {
		check_failed++;
		fprintf(stderr, "vectors.txt:%d: failed: %s\n", l->number, what);
	}
}

static long long integer(const struct line *l, const char *s)
{
	char *end;
	long long v = strtoll(s, &end, 10);
	line_check(l, *s != 0 && *end == 0, "a number");
	return v;
}

static size_t unhex(const struct line *l, const char *s, uint8_t *buf, size_t cap)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;
	if (strcmp(s, "-") == 0)
		return 0;
	for (; s[0] != 0 && s[1] != 0 && n < cap; s += 2) {
		const char *high = strchr(digits, s[0]), *low = strchr(digits, s[1]);
		if (high == NULL || low == NULL)
			break;
		buf[n++] = (uint8_t)((high - digits) << 4 | (low - digits));
	}
	line_check(l, *s == 0, "hex");
	return n;
}

static const char *text_of(struct line *l, const char *name)
{
	size_t n = strlen(name);
	for (size_t i = l->fields; i < l->count; i++) {
		if (strncmp(l->words[i], name, n) == 0 && l->words[i][n] == '=') {
			l->named++;
			return l->words[i] + n + 1;
		}
	}
	line_check(l, false, name);
	return "0";
}

static long long value_of(struct line *l, const char *name)
{
	return integer(l, text_of(l, name));
}

static void want_state(struct line *l, struct lk_state *s)
{
	s->id = (uint64_t)value_of(l, "id");
	s->on = value_of(l, "on") == 1;
	s->level = (uint8_t)value_of(l, "level");
	s->contact = (uint8_t)value_of(l, "contact");
	s->left = (uint32_t)value_of(l, "left");
}

static void want(struct line *l, int kind, union message *m)
{
	memset(m, 0, sizeof *m);
	switch (kind) {
	case SCAN:
		m->scan.n = (uint64_t)value_of(l, "n");
		m->scan.uid_len = (uint8_t)unhex(l, text_of(l, "uid"), m->scan.uid, LK_UID_MAX);
		m->scan.age = (int32_t)value_of(l, "age");
		break;
	case ACT:
		m->act.n = (uint64_t)value_of(l, "n");
		m->act.action = (uint8_t)value_of(l, "action");
		m->act.level = (uint8_t)value_of(l, "level");
		m->act.age = (int32_t)value_of(l, "age");
		break;
	case VERDICT:
		m->verdict.verdict = (uint8_t)value_of(l, "verdict");
		m->verdict.last = (uint64_t)value_of(l, "last");
		break;
	case COMMAND:
		m->command.id = (uint64_t)value_of(l, "id");
		m->command.action = (uint8_t)value_of(l, "action");
		m->command.level = (uint8_t)value_of(l, "level");
		m->command.duration = (uint32_t)value_of(l, "duration");
		m->command.age = (int32_t)value_of(l, "age");
		m->command.epoch = (uint32_t)value_of(l, "epoch");
		break;
	case STATE:
		want_state(l, &m->state);
		m->state.obeyed = (uint64_t)value_of(l, "obeyed");
		m->state.epoch = (uint32_t)value_of(l, "epoch");
		break;
	default:
		m->receipt.result = (uint8_t)value_of(l, "result");
		want_state(l, &m->receipt.state);
	}
	line_check(l, l->named == l->count - l->fields, "names the message's fields, each once");
}

/* After refused bytes the struct must be all zero: it denies, refuses and asks for nothing. */
static bool all_zero(const union message *m, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)m)[i] != 0)
			return false;
	return true;
}

static const size_t sizes[MESSAGES] = {
	[SCAN] = sizeof(struct lk_scan),
	[ACT] = sizeof(struct lk_act),
	[VERDICT] = sizeof(struct lk_verdict),
	[COMMAND] = sizeof(struct lk_command),
	[STATE] = sizeof(struct lk_state),
	[RECEIPT] = sizeof(struct lk_receipt),
};

/* Parses a copy of the exact size, so that the sanitizer sees a read past the end. */
static bool refused(int kind, const uint8_t *b, size_t n)
{
	uint8_t *copy = malloc(n + (n == 0));
	union message m;
	if (copy == NULL)
		return false;
	memset(&m, 0xff, sizeof m);
	if (n > 0)
		memcpy(copy, b, n);
	int got = message_parse(kind, &m, copy, n);
	free(copy);
	return got == LK_EMALFORMED && all_zero(&m, sizes[kind]);
}

/* Checks that b parses to the line's values and that these encode to known, which is b without its
 * elective members. */
static void check_good(
	struct line *l, int kind, const uint8_t *b, size_t n, const uint8_t *known, size_t known_n)
{
	union message wanted, got;
	uint8_t out[LK_BODY_MAX + 1];

	want(l, kind, &wanted);
	memset(&got, 0xff, sizeof got);
	line_check(l, message_parse(kind, &got, b, n) == 0, "it parses");
	line_check(l, messages_equal(kind, &got, &wanted), "it parses to these values");
	line_check(l,
		message_encode(kind, &wanted, out, sizeof out) == (int)known_n && memcmp(out, known, known_n) == 0,
		"the values encode to it");
	line_check(l, known_n <= LK_WIRE_MAX, "it is no longer than LK_WIRE_MAX");
	for (size_t cap = 0; cap < known_n; cap++) {
		memset(out, 0x55, sizeof out);
		line_check(l, message_encode(kind, &wanted, out, cap) == LK_ESPACE && out[cap] == 0x55,
			"too little room is said, and kept to");
	}
	for (size_t cut = 0; cut < n; cut++)
		line_check(l, refused(kind, b, cut), "cut short it is refused");
	memcpy(out, b, n);
	for (int next = 0; next < 256; next++) {
		out[n] = (uint8_t)next;
		line_check(l, refused(kind, out, n + 1), "with a byte more it is refused");
	}
}

static void check_message(struct line *l, int kind, int seen[3])
{
	uint8_t body[256], less[256];
	bool more = l->count > 3 && strcmp(l->words[1], "more") == 0;
	if (l->count < 3) {
		line_check(l, false, "has a body");
		return;
	}
	l->fields = more ? 4 : 3;
	size_t n = unhex(l, l->words[2], body, sizeof body);
	if (more) {
		seen[2]++;
		size_t less_n = unhex(l, l->words[3], less, sizeof less);
		check_good(l, kind, body, n, less, less_n);
	} else if (strcmp(l->words[1], "ok") == 0) {
		seen[0]++;
		check_good(l, kind, body, n, body, n);
	} else {
		seen[1]++;
		line_check(l, strcmp(l->words[1], "bad") == 0, "ok, more or bad");
		line_check(l, refused(kind, body, n), "it is refused");
	}
}

static void check_echo(const struct line *l)
{
	static const char *const names[] = {[LK_STALE] = "stale", [LK_FRESH] = "fresh", [LK_BAD_AGE] = "bad"};
	if (l->count != 5) {
		line_check(l, false, "four words after echo");
		return;
	}
	int32_t n[3];
	for (int i = 0; i < 3; i++)
		n[i] = (int32_t)integer(l, l->words[1 + i]);
	line_check(l, strcmp(names[lk_echo_judge(n[0], n[1], n[2])], l->words[4]) == 0, l->words[4]);
}

static void add_record(struct lk_senml *w, const struct line *l, char *word)
{
	char *value = strchr(word, '='), *name = strchr(word, ':');
	if (name == NULL || value == NULL || value < name) {
		line_check(l, false, "a record");
		return;
	}
	*value++ = 0;
	*name++ = 0;
	if (strcmp(word, "number") == 0) {
		char *unit = strchr(name, ':');
		if (unit != NULL)
			*unit++ = 0;
		lk_senml_add_number(w, name, unit, (int32_t)integer(l, value));
	} else if (strcmp(word, "flag") == 0) {
		line_check(l, strcmp(value, "0") == 0 || strcmp(value, "1") == 0, "a flag");
		lk_senml_add_flag(w, name, *value == '1');
	} else {
		line_check(l, strcmp(word, "text") == 0, "number, flag or text");
		lk_senml_add_text(w, name, value);
	}
}

static void check_report(const struct line *l)
{
	uint8_t body[256], out[256];
	struct lk_senml w;
	if (l->count < 4) {
		line_check(l, false, "an age and a record");
		return;
	}
	size_t n = unhex(l, l->words[1], body, sizeof body);
	lk_senml_begin(&w, out, sizeof out, (int32_t)integer(l, l->words[2]));
	for (size_t i = 3; i < l->count; i++)
		add_record(&w, l, l->words[i]);
	line_check(l, lk_senml_end(&w) == (int)n && memcmp(out, body, n) == 0, "the records encode to it");
}

static void check_vectors(const char *path)
{
	static char text[1 << 17];
	int seen[KINDS][3] = {{0}};
	struct line l = {0};
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		check_failed++;
		return;
	}
	size_t size = fread(text, 1, sizeof text - 1, f);
	CHECK(!ferror(f) && size < sizeof text - 1);
	fclose(f);
	CHECK(strlen(text) == size && size > 0 && text[size - 1] == '\n');

	for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		*end = 0;
		l.number++;
		if (at == end || *at == '#')
			continue;
		l.named = l.count = 0;
		for (char *word = at; word != NULL && l.count < 40; l.count++) {
			l.words[l.count] = word;
			word = strchr(word, ' ');
			if (word != NULL)
				*word++ = 0;
		}
		int kind = 0;
		while (kind < KINDS && strcmp(l.words[0], kinds[kind].name) != 0)
			kind++;
		if (kind < MESSAGES) {
			check_message(&l, kind, seen[kind]);
		} else if (kind == ECHO_RULE) {
			seen[kind][0]++;
			check_echo(&l);
		} else if (kind == REPORT) {
			seen[kind][0]++;
			check_report(&l);
		} else {
			line_check(&l, false, "a kind of line that this program knows");
		}
	}
	for (int kind = 0; kind < KINDS; kind++) {
		if (seen[kind][0] < kinds[kind].good || seen[kind][1] < kinds[kind].bad ||
			seen[kind][2] < kinds[kind].more) {
			fprintf(stderr, "%s: got %d good, %d bad and %d growing vectors, want at least %d, %d and %d\n",
				kinds[kind].name, seen[kind][0], seen[kind][1], seen[kind][2], kinds[kind].good,
				kinds[kind].bad, kinds[kind].more);
			check_failed++;
		}
	}
}

int main(int argc, char **argv)
{
	check_vectors(argc > 1 ? argv[1] : LK_VECTORS);
	return check_end("wire_vectors");
}
