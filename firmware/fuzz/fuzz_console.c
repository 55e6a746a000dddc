/*
 * Bytes typed at the console. Passwords consist of '~' and keys of 'z'. No message and no other
 * typed text has these letters, so the console must never print one, whatever comes before, between
 * and after the secrets.
 */
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "fake_port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const lines[] = {
	"\nsecret zzzzzzzzzzzzzzzzzzzzzzzzzz\n",
	"\nsecret zzzzz",
	"\nwifi net ~~~~~~~~\n",
	"\nwifi \"my net\" \"~~ ~~~~~~~\"\n",
	"\nwifi net ~~~~",
	"\nidentity lk-0123456789\n",
	"\ngateway gw:1\n",
	"\nkind lock\n",
	"\nsave\n",
	"\nshow\n",
	"\nerase yes\n",
	"\nrole lock\n",
	"\nrole lamp\n",
};

enum { LINES = sizeof lines / sizeof lines[0] };

static struct fake_port board;

static void must(bool so)
{
	if (!so) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lk_console console;
	struct lk_settings loaded;
	struct lk_draft one = {.kind = "lock", .port = &board.port};
	struct lk_draft two = {.kind = "lamp", .port = &board.port};
	struct lk_draft *const drafts[] = {&one, &two};
	fake_init(&board);
	lk_console_init(&console, &board.port, drafts, 2);
	for (size_t i = 0; i < size; i++) {
		uint8_t b = data[i];
		fake_clear_printed(&board);
		/* Bytes that a console refuses anyway stand for whole lines. */
		if (b >= 0x10 && b < 0x10 + LINES) {
			for (const char *s = lines[b - 0x10]; *s != '\0'; s++) {
				lk_console_take_byte(&console, (uint8_t)*s);
			}
		} else if (b == 0x1f) {
			board.kv_power = board.kv_power < 0 ? 4 : -1;
		} else {
			lk_console_take_byte(&console, b == 'z' || b == '~' ? 'y' : b);
		}
		must(strchr(board.printed, 'z') == NULL && strchr(board.printed, '~') == NULL);
		must(board.logged_n == 0);
		must(console.len <= LK_CONSOLE_LINE && console.line[console.len] == '\0');
		for (int d = 0; d < 2; d++) {
			const struct lk_settings *s = &drafts[d]->settings;
			must(s->kind[0] == '\0' || strcmp(s->kind, drafts[d]->kind) == 0);
			must((s->host[0] == '\0') == (s->port == 0));
		}
	}
	/* Every setting that the console accepted is saved, and loads unchanged. */
	board.kv_power = -1;
	must(lk_settings_save(&one.settings, &board.port) == 0);
	(void)lk_settings_load(&loaded, &board.port);
	must(memcmp(&one.settings, &loaded, sizeof loaded) == 0);
	return 0;
}
