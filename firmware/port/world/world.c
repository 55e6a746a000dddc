#include "world.h"

#include <string.h>

void lk_world_init(struct lk_world *w)
{
	memset(w, 0, sizeof *w);
	w->voltage = 3300;
	w->rssi = -60;
	mfrc522_model_init(&w->chip);
}

size_t lk_world_room(const struct lk_world *w)
{
	return LK_WORLD_CONSOLE - w->count;
}

static void console_put(struct lk_world *w, uint8_t c)
{
	if (w->count < LK_WORLD_CONSOLE) {
		w->console[(w->head + w->count++) % LK_WORLD_CONSOLE] = c;
	}
}

int lk_world_console_read(struct lk_world *w)
{
	int c = -1;

	if (w->count > 0) {
		c = w->console[w->head];
		w->head = (w->head + 1) % LK_WORLD_CONSOLE;
		w->count--;
	}
	return c;
}

bool lk_world_console_pending(const struct lk_world *w)
{
	return w->count > 0;
}

bool lk_world_output(struct lk_world *w, uint8_t level, uint32_t ms)
{
	bool worth = !w->printed || ms > 0 || level != w->level;

	w->printed = true;
	w->level = level;
	return worth;
}

/* number reads a whole decimal number between min and max. */
static bool number(const char *s, int64_t min, int64_t max, int64_t *out)
{
	bool minus = *s == '-';
	int64_t v = 0;

	s += minus;
	if (*s == 0 || strlen(s) > 10) {
		return false;
	}
	for (; *s != 0; s++) {
		if (*s < '0' || *s > '9') {
			return false;
		}
		v = v * 10 + (*s - '0');
	}
	*out = minus ? -v : v;
	return *out >= min && *out <= max;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool card(struct lk_world *w, const char *hex)
{
	uint8_t uid[10];
	size_t n = strlen(hex) / 2;

	if (strlen(hex) % 2 != 0 || (n != 0 && n != 4 && n != 7 && n != 10)) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		if (high < 0 || low < 0) {
			return false;
		}
		uid[i] = (uint8_t)(high << 4 | low);
	}
	mfrc522_model_card(&w->chip, uid, n);
	return true;
}

static bool chip(struct lk_world *w, const char *how)
{
	static const struct {
		const char *word;
		int how;
	} words[] = {{"ok", MFRC522_MODEL_OK}, {"deaf", MFRC522_MODEL_DEAF}, {"dead", MFRC522_MODEL_DEAD},
		{"ones", MFRC522_MODEL_ONES}, {"stuck", MFRC522_MODEL_STUCK}, {"mute", MFRC522_MODEL_MUTE}};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(how, words[i].word) == 0) {
			mfrc522_model_break(&w->chip, words[i].how);
			return true;
		}
	}
	return false;
}

/* obey does what a line says; arg is what follows its first space, or "". */
static enum lk_world_ask obey(struct lk_world *w, const char *verb, const char *arg)
{
	static const struct {
		const char *verb;
		enum lk_world_ask ask;
	} asks[] = {{"hang", LK_WORLD_HANG}, {"rebind", LK_WORLD_REBIND}, {"unaligned", LK_WORLD_UNALIGNED},
		{"stat", LK_WORLD_STAT}};
	static const char *const inputs[] = {"button", "contact", "tamper"};
	int64_t v;

	for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
		if (strcmp(verb, asks[i].verb) == 0) {
			return *arg == 0 ? asks[i].ask : LK_WORLD_BAD;
		}
	}
	for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
		if (strcmp(verb, inputs[i]) == 0 && number(arg, 0, 1, &v)) {
			w->input[i] = v == 1;
			return LK_WORLD_NOTHING;
		}
	}
	if (strcmp(verb, "voltage") == 0 && number(arg, 0, UINT32_MAX, &v)) {
		w->voltage = (uint32_t)v;
		return LK_WORLD_NOTHING;
	}
	if (strcmp(verb, "rssi") == 0 && number(arg, INT32_MIN, INT32_MAX, &v)) {
		w->rssi = (int32_t)v;
		return LK_WORLD_NOTHING;
	}
	if (strcmp(verb, "oom") == 0 && number(arg, 0, UINT32_MAX, &v)) {
		w->number = (uint32_t)v;
		return LK_WORLD_OOM;
	}
	if ((strcmp(verb, "card") == 0 && card(w, arg)) || (strcmp(verb, "chip") == 0 && chip(w, arg))) {
		return LK_WORLD_NOTHING;
	}
	return LK_WORLD_BAD;
}

static enum lk_world_ask end_line(struct lk_world *w)
{
	char *arg = w->line + w->len;
	char *space;
	bool bad = w->too_long;

	*arg = 0;
	w->len = 0;
	w->too_long = false;
	if (bad || memchr(w->line, 0, (size_t)(arg - w->line)) != NULL) {
		return LK_WORLD_BAD;
	}
	space = strchr(w->line, ' ');
	if (space != NULL) {
		*space = 0;
		arg = space + 1;
	}
	return obey(w, w->line + 1, arg);
}

enum lk_world_ask lk_world_feed(struct lk_world *w, uint8_t c)
{
	if (w->console_line || (w->len == 0 && !w->too_long && c != '!')) {
		console_put(w, c);
		w->console_line = c != '\n';
		return LK_WORLD_NOTHING;
	}
	if (c == '\n') {
		return end_line(w);
	}
	if (w->len < LK_WORLD_LINE) {
		w->line[w->len++] = (char)c;
	} else {
		w->too_long = true;
	}
	return LK_WORLD_NOTHING;
}
