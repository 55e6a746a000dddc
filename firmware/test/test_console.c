/* The console at the serial line: what it answers, what it saves, and that it never prints a
 * secret. */
#include "check.h"
#include "console.h"
#include "err.h"
#include "fake_port.h"

#define SECRET "zk7rqh2m9xw4c0td8vpnj5bsy6"
#define OTHER "0123456789abcdefghjkmnpqrs"

static struct fake_port board;
static struct lk_draft one, two;
static struct lk_draft *const drafts[] = {&one, &two};
static struct lk_settings *const draft = &one.settings;
static struct lk_console console;

static void begin(const char *role)
{
	fake_init(&board);
	one = (struct lk_draft){.kind = role, .port = &board.port};
	memset(&console, 0xee, sizeof console); /* memory that nobody zeroed */
	lk_console_init(&console, &board.port, drafts, 1);
}

static void type(const char *text)
{
	fake_clear_printed(&board);
	for (; *text != '\0'; text++) {
		lk_console_take_byte(&console, (uint8_t)*text);
	}
}

/* Types a line and compares what the console prints after the echo. */
static bool answers(const char *line, const char *want)
{
	type(line);
	type("\r");
	if (strncmp(board.printed, "\r\n", 2) != 0 || strcmp(board.printed + 2, want) != 0) {
		fprintf(stderr, "  %s: %s", line, board.printed);
		return false;
	}
	return true;
}

static bool echoes(const char *typed, const char *want)
{
	type(typed);
	bool same = strcmp(board.printed, want) == 0;
	if (!same) {
		fprintf(stderr, "  %s: %s\n", typed, board.printed);
	}
	type("\r");
	return same;
}

static bool printed(const char *text)
{
	return strstr(board.printed, text) != NULL;
}

static void an_empty_line_gets_no_answer(void)
{
	begin("lock");
	CHECK(answers("", "") && answers(" ", "") && answers("  \t ", ""));
	CHECK(answers("x\b", "") && answers("\b", ""));
}

static bool wiped(void)
{
	static const char zeros[sizeof console.line];
	return memcmp(console.line, zeros, sizeof zeros) == 0;
}

#define PASTE \
	"device    front-lock\r\nkind      lock\r\ntargets   front-door, back-door\r\ngateway   192.0.2.1:5684\r\n" \
	"identity  lk-0123456789\r\nsecret    " SECRET "\r\n\r\n" \
	"This secret is shown once. Put it into the device now; if it is lost: latchkey device rekey.\r\n"

static void what_device_add_printed_can_be_pasted(void)
{
	struct lk_settings s;
	begin("lock");
	type(PASTE);
	CHECK(!printed("unknown") && !printed("not valid") && !printed(SECRET));
	CHECK(answers("save", "restarting\r\n"));
	CHECK_EQ(board.restarts, 1);
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	CHECK(strcmp(s.identity, "lk-0123456789") == 0 && strcmp(s.secret, SECRET) == 0);
	CHECK(strcmp(s.host, "192.0.2.1") == 0 && s.port == 5684 && strcmp(s.target, "front-door") == 0);
	CHECK(strcmp(s.kind, "lock") == 0 && strcmp(s.device, "front-lock") == 0);
}

static void each_answer_says_what_to_do(void)
{
	begin("lock");
	CHECK(answers("", ""));
	CHECK(answers("   ", ""));
	CHECK(answers("open sesame", "unknown; try help\r\n"));
	CHECK(answers("save", "missing: identity\r\n"));
	CHECK(answers("identity lk-0123456789", "set; still missing: secret\r\n"));
	CHECK(answers("identity lk-01234", "not valid; try help\r\n"));
	CHECK(answers("identity", "not valid; try help\r\n"));
	CHECK(answers("kind reader", "this firmware is a lock's; flash the one of your kind\r\n"));
	CHECK(answers("kind", "this firmware is a lock's; flash the one of your kind\r\n"));
	CHECK(answers("kind lock", "set; still missing: secret\r\n"));
	CHECK(answers("secret " SECRET, "set; still missing: gateway\r\n"));
	CHECK(answers("save", "missing: gateway\r\n"));
	CHECK(answers("gateway gw.example", "set; then save\r\n"));
	CHECK_EQ(draft->port, 5684);
	CHECK(answers("erase", "to remove key and wifi: erase yes\r\n"));
	CHECK(answers("erase no", "to remove key and wifi: erase yes\r\n"));
	CHECK(answers("reboot", "restarting\r\n"));
	CHECK_EQ(board.restarts, 1);
	CHECK_EQ(board.kv_writes, 0);
	type("help\r");
	CHECK(printed("wifi SSID PASSWORD") && printed("save"));
}

static void commands_may_be_in_upper_case_and_spaces_may_be_tabs(void)
{
	begin("lock");
	CHECK(answers("  IDENTITY\t lk-0123456789  ", "set; still missing: secret\r\n"));
	CHECK(answers("identityx lk-0123456789", "unknown; try help\r\n"));
	CHECK(answers("identit lk-0123456789", "unknown; try help\r\n"));
}

static void a_switch_picks_its_target(void)
{
	begin("switch");
	type("kind switch\rgateway gw\ridentity lk-0123456789\r");
	CHECK(answers("secret " SECRET, "set; still missing: targets\r\n"));
	CHECK(answers("target hall", "set; then save\r\n"));
	CHECK(strcmp(draft->target, "hall") == 0);
	CHECK(answers("targets stairs, hall", "set; then save\r\n"));
	CHECK(strcmp(draft->target, "stairs") == 0);
	CHECK(answers("target a/b", "not valid; try help\r\n"));
	CHECK(strcmp(draft->target, "stairs") == 0);
}

static void wifi_names_and_passwords_may_have_spaces_in_quotes(void)
{
	static const struct {
		const char *line, *ssid, *password; /* ssid NULL: refused */
	} cases[] = {
		{"wifi home 12345678", "home", "12345678"},
		{"wifi home", "home", ""},
		{"wifi home \"\"", "home", ""},
		{"wifi \"my home\" 12345678", "my home", "12345678"},
		{"wifi \"my home\"", "my home", ""},
		{"wifi \"my home\" \"correct horse \"", "my home", "correct horse "},
		{"wifi a\"b 12345678", "a\"b", "12345678"},
		{"wifi \"a\"b c\" 12345678", "a\"b c", "12345678"},
		{"wifi home \"\"1234567\"", "home", "\"1234567"},
		{"wifi   home    12345678   ", "home", "12345678"},
		{"wifi caf\xc3\xa9 12345678", "caf\xc3\xa9", "12345678"},
		{"wifi", NULL, NULL},
		{"wifi \"\" 12345678", NULL, NULL},
		{"wifi my home 12345678", NULL, NULL},
		{"wifi home 1234567", NULL, NULL},
		{"wifi \"home 12345678", NULL, NULL},
		{"wifi home \"12345678", NULL, NULL},
		{"wifi home 12345678 \"", NULL, NULL},
		{"wifi 123456789012345678901234567890123 12345678", NULL, NULL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		begin("lock");
		type("wifi old password\r");
		type(cases[i].line);
		type("\r");
		const char *ssid = cases[i].ssid == NULL ? "old" : cases[i].ssid;
		const char *password = cases[i].ssid == NULL ? "password" : cases[i].password;
		CHECK(strcmp(draft->ssid, ssid) == 0 && strcmp(draft->password, password) == 0);
		CHECK(printed(cases[i].ssid == NULL ? "not valid" : "set"));
	}
}

static void secrets_are_echoed_as_stars(void)
{
	begin("lock");
	CHECK(echoes("identity lk-1", "identity lk-1"));
	CHECK(echoes("secret abc", "secret ***"));
	CHECK(echoes("  Secret\tabc", "  Secret ***"));
	CHECK(echoes("secrets abc", "secrets abc"));
	CHECK(echoes("secret", "secret"));
	CHECK(echoes("wifi home abc", "wifi home ***"));
	CHECK(echoes("wifi \"my home\" \"a b\"", "wifi \"my home\" *****"));
	CHECK(echoes("wifi  home  abc", "wifi  home ****"));
	CHECK(echoes("\"wifi\" home abc", "\"wifi\" home ***"));
	CHECK(echoes("secret abc\b\b\b\b\b\bx", "secret ***\b \b\b \b\b \b\b \b\b \b\b \bx"));
}

static void a_secret_is_never_printed(void)
{
	begin("lock");
	type("identity lk-0123456789\rsecret " SECRET "\rwifi home " SECRET
		 "\rgateway gw\rkind lock\rdevice d\rsave\rshow\r");
	CHECK(!printed(SECRET));
	CHECK_EQ(board.restarts, 1);
	type("secret " SECRET "x\r");
	CHECK(printed("not valid") && !printed(SECRET));
	type("wifi home " SECRET " " SECRET "\r");
	CHECK(printed("not valid") && !printed(SECRET));
	CHECK(answers("show", "device    d\r\nkind      lock\r\ntargets   not set\r\ngateway   "
	                      "gw:5684\r\nidentity  lk-0123456789\r\nsecret    set\r\n"
						  "wifi      home, password set\r\n"));
	CHECK_EQ(board.logged_n, 0);
}

static void show_says_what_is_not_set(void)
{
	begin("lock");
	CHECK(answers("show", "device    not set\r\nkind      not set\r\ntargets   not set\r\ngateway   not "
	                      "set\r\nidentity  not set\r\nsecret    not set\r\n"
						  "wifi      not set\r\n"));
	type("wifi open\r");
	type("show\r");
	CHECK(printed("wifi      open\r\n"));
}

static void another_identity_needs_its_own_secret(void)
{
	begin("lock");
	type(PASTE);
	CHECK(answers("identity lk-zzzzzzzzzz", "set; still missing: secret\r\n"));
	CHECK(answers("save", "missing: secret\r\n"));
	CHECK(answers("secret " OTHER, "set; then save\r\n"));
	CHECK(strcmp(draft->secret, OTHER) == 0);
}

static void settings_of_another_kind_are_not_saved(void)
{
	begin("lock");
	type(PASTE);
	memcpy(draft->kind, "lamp", 5);
	CHECK(answers("save", "this firmware is a lock's; flash the one of your kind\r\n"));
	CHECK_EQ(board.kv_writes, 0);
}

/* If somebody pastes a lock's lines into a reader by mistake, the lock's key is not saved. */
static void a_key_of_another_kind_is_not_saved(void)
{
	for (size_t devices = 1; devices <= 2; devices++) {
		begin("reader");
		two = (struct lk_draft){.kind = "lock", .port = &board.port};
		lk_console_init(&console, &board.port, drafts, devices);
		type("device front\rkind reader\rgateway gw\ridentity lk-zzzzzzzzzz\rsecret " OTHER "\rsave\r");
		CHECK_EQ(board.restarts, 1);
		type(PASTE);
		CHECK(printed("this firmware is a reader's; "));
		CHECK(answers("save", "missing: kind\r\n"));
		CHECK(answers("kind reader", "set; then save\r\n")); /* kind reader makes the key the reader's */
		CHECK_EQ(board.restarts, 1);
		CHECK(strcmp(fake_kv(&board, "secret"), OTHER) == 0);
	}
	type("role lock\r" PASTE);
	CHECK(!printed("this firmware") && strcmp(two.settings.secret, SECRET) == 0);
}

static void erase_removes_all_but_the_counter(void)
{
	static const struct lk_settings empty;
	begin("lock");
	type(PASTE "save\r");
	fake_kv_put_text(&board, "counter", "12345678");
	CHECK(answers("erase yes", "restarting\r\n"));
	CHECK_EQ(board.restarts, 2);
	unsigned left = 0;
	for (int i = 0; i < FAKE_KEYS; i++) {
		left += board.kv[i].n > 0;
	}
	CHECK_EQ(left, 1);
	CHECK(fake_kv(&board, "counter") != NULL);
	CHECK(memcmp(draft, &empty, sizeof *draft) == 0);
}

static void when_flash_fails_the_board_does_not_restart(void)
{
	begin("lock");
	type(PASTE);
	board.kv_power = 3;
	CHECK(answers("save", "flash failed; try again\r\n"));
	CHECK_EQ(board.restarts, 0);
	board.kv_power = -1;
	CHECK(answers("save", "restarting\r\n"));
	board.kv_power = 0;
	CHECK(answers("erase yes", "flash failed; try again\r\n"));
	CHECK_EQ(board.restarts, 1);
}

static void each_end_of_line_ends_one_line(void)
{
	begin("lock");
	type("x\r\n");
	CHECK(strcmp(board.printed, "x\r\nunknown; try help\r\n") == 0);
	type("x\n");
	CHECK(strcmp(board.printed, "x\r\nunknown; try help\r\n") == 0);
	type("x\r");
	CHECK(strcmp(board.printed, "x\r\nunknown; try help\r\n") == 0);
	type("\n");
	CHECK(strcmp(board.printed, "") == 0);
	type("\n");
	CHECK(strcmp(board.printed, "\r\n") == 0);
}

static void backspace_removes_what_was_typed_and_nothing_else(void)
{
	begin("lock");
	type("\b\x7f");
	CHECK(strcmp(board.printed, "") == 0);
	CHECK(answers("devicexx\b\x7f d", "set; still missing: identity\r\n"));
	CHECK(strcmp(draft->device, "d") == 0);
}

static void a_line_that_is_too_long_is_refused_as_a_whole(void)
{
	char line[LK_CONSOLE_LINE + 2];
	begin("lock");
	memset(line, ' ', sizeof line);
	memcpy(line, "device d", 8);
	line[LK_CONSOLE_LINE] = '\0';
	CHECK(answers(line, "set; still missing: identity\r\n"));
	memcpy(line, "device e", 8);
	line[LK_CONSOLE_LINE] = ' ';
	line[LK_CONSOLE_LINE + 1] = '\0';
	CHECK(answers(line, "line refused: too long, or not text\r\n"));
	CHECK(strcmp(draft->device, "d") == 0);
	CHECK(answers("device f", "set; still missing: identity\r\n"));
}

static void a_byte_that_is_not_text_spoils_its_line(void)
{
	begin("lock");
	CHECK(answers("device d\x1b", "line refused: too long, or not text\r\n"));
	CHECK(answers("device\x01 d", "line refused: too long, or not text\r\n"));
	CHECK(answers("device d\x1b\b", "line refused: too long, or not text\r\n"));
	fake_clear_printed(&board);
	lk_console_take_byte(&console, 0);
	lk_console_take_byte(&console, '\r');
	CHECK(printed("line refused"));
	CHECK(draft->device[0] == '\0');
}

static void no_line_stays_in_memory(void)
{
	begin("lock");
	type("secret " SECRET);
	CHECK(!wiped());
	type("\r");
	CHECK(wiped());
	type("wifi home " SECRET "\x1b");
	CHECK(!wiped());
	type("\n");
	CHECK(wiped());
	type("secret " SECRET "\b\b\b");
	CHECK(strstr(console.line, "sy6") == NULL);
}

static void on_a_board_of_two_devices_role_chooses_one(void)
{
	begin("reader");
	two = (struct lk_draft){.kind = "lock", .port = &board.port};
	lk_console_init(&console, &board.port, drafts, 2);
	CHECK(answers("kind lock", "this firmware is a reader's; choose another with: role KIND\r\n"));
	CHECK(answers("role lock", "") && console.draft == &two);
	CHECK(answers("role lamp", "this firmware is a lock's; choose another with: role KIND\r\n"));
	CHECK(console.draft == &two);
	CHECK(answers("role reader", "") && console.draft == &one);
	type("help\r");
	CHECK(printed("role KIND") && printed("device add"));
	begin("reader");
	type("help\r");
	CHECK(!printed("role") && printed("device add"));
}

int main(void)
{
	on_a_board_of_two_devices_role_chooses_one();
	an_empty_line_gets_no_answer();
	what_device_add_printed_can_be_pasted();
	each_answer_says_what_to_do();
	commands_may_be_in_upper_case_and_spaces_may_be_tabs();
	a_switch_picks_its_target();
	wifi_names_and_passwords_may_have_spaces_in_quotes();
	secrets_are_echoed_as_stars();
	a_secret_is_never_printed();
	show_says_what_is_not_set();
	another_identity_needs_its_own_secret();
	settings_of_another_kind_are_not_saved();
	a_key_of_another_kind_is_not_saved();
	erase_removes_all_but_the_counter();
	when_flash_fails_the_board_does_not_restart();
	each_end_of_line_ends_one_line();
	backspace_removes_what_was_typed_and_nothing_else();
	a_line_that_is_too_long_is_refused_as_a_whole();
	a_byte_that_is_not_text_spoils_its_line();
	no_line_stays_in_memory();
	return check_end("console");
}
