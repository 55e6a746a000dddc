/* The image of a board that is both a reader and a lock: two devices, each with settings, a session
 * and a counter of its own. */
#include "act.h"
#include "app.h"
#include "board_chip.h"
#include "check.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "lock.h"
#include "reader.h"
#include "write_answer.h"

/* second: only what each node has for itself, which is socket, flash and log */
static struct fake_port board, second;
static struct lk_reader reader;
static struct lk_lock lock;
static struct lk_app app;

static const uint8_t card[4] = {0x0a, 0x1b, 0x2c, 0x3d};

static void provision(struct fake_port *f, const char *kind, const char *identity)
{
	fake_provision(f, kind, identity);
	fake_kv_put_text(f, "device", kind);
}

static void begin(void)
{
	fake_init(&board);
	fake_init(&second);
	fit_chip(&board);
}

static void start(void)
{
	static const struct lk_part parts[] = {
		{&reader.unit, &lk_role_reader, NULL}, {&lock.unit, &lk_role_lock, NULL}, {NULL, NULL, NULL}};
	static struct lk_port ports[2];

	ports[0] = ports[1] = board.port;
	ports[1].own = &second;
	memset(&reader, 0, sizeof reader);
	memset(&lock, 0, sizeof lock);
	lk_app_init(&app, parts, ports);
}

/* Takes the newest request that a node sent. False if there is none. */
static bool take_request(struct fake_port *f, struct lk_coap *m)
{
	static uint8_t b[FAKE_DATAGRAM];
	size_t n, len = 0;

	while ((n = fake_take_sent(f, b, sizeof b)) > 0)
		len = n;
	return len > 0 && lk_coap_parse(m, b, len) == 0 && m->type == LK_COAP_CON;
}

static bool has_path(const struct lk_coap *m, const char *path)
{
	struct lk_coap_option o = {0};

	while (lk_coap_next(m, &o))
		if (o.number == LK_COAP_URI_PATH)
			return o.len == strlen(path) && memcmp(o.value, path, o.len) == 0;
	return false;
}

static void answer(
	struct fake_port *f, const struct lk_coap *m, uint8_t code, const uint8_t *payload, size_t n)
{
	uint8_t b[LK_MESSAGE_MAX];
	const char *location = code == LK_COAP_CREATED ? "rd/ab" : NULL;

	fake_deliver(
		f, b, write_answer(b, sizeof b, m, code, location, (const uint8_t *)"12345678", payload, n));
}

/* Plays a gateway that grants each card. Returns how many scans came from this socket. */
static unsigned serve(struct fake_port *f)
{
	uint8_t b[LK_WIRE_MAX];
	struct lk_coap m;

	if (!take_request(f, &m))
		return 0;
	if (!has_path(&m, "scan")) {
		answer(f, &m, has_path(&m, "rd") ? LK_COAP_CREATED : LK_COAP_CHANGED, NULL, 0);
		return 0;
	}
	int n = lk_verdict_encode(&(struct lk_verdict){.verdict = LK_GRANTED}, b, sizeof b);
	answer(f, &m, LK_COAP_CHANGED, b, (size_t)n);
	return 1;
}

static unsigned scans, strays; /* scans from the reader's socket, and from the lock's */

static void pass(uint32_t ms)
{
	for (uint32_t end = board.now + ms; (int32_t)(board.now - end) < 0;) {
		lk_app_step(&app);
		scans += serve(&board);
		strays += serve(&second);
	}
}

static void bring_both_online(void)
{
	begin();
	provision(&board, "reader", "lk-0123456789");
	provision(&second, "lock", "lk-9999999999");
	start();
	scans = strays = 0;
	pass(3000);
	CHECK(lk_node_is_online(&reader.unit.node) && lk_node_is_online(&lock.unit.node));
}

static void each_device_has_its_own_session_and_only_the_lock_moves_the_door(void)
{
	struct lk_receipt r;

	bring_both_online();
	CHECK_EQ(app.led.base, LK_LED_ONLINE);
	CHECK_EQ(reader.unit.node.served.resource, NULL);
	CHECK(lock.unit.node.served.resource == &lk_act && lock.unit.node.served.actuator == &lock.actuator);
	CHECK(strcmp(reader.unit.settings.identity, "lk-0123456789") == 0);
	CHECK(strcmp(lock.unit.settings.identity, "lk-9999999999") == 0);
	CHECK(board.opens == 1 && second.opens == 1);
	mfrc522_model_card(&chip, card, sizeof card);
	pass(600);
	CHECK(scans == 1 && strays == 0);
	CHECK_EQ(app.led.once, LK_LED_GRANTED);
	CHECK_EQ(board.level, 0); /* the verdict moves nothing */
	lk_actuator_obey(
		&lock.actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 500}, board.now, &r);
	CHECK_EQ(board.level, 100);
	pass(600);
	CHECK_EQ(board.level, 0);
}

static void losing_the_locks_session_shuts_the_door_and_losing_the_readers_does_not(void)
{
	struct lk_receipt r;

	bring_both_online();
	lk_actuator_obey(
		&lock.actuator, &(struct lk_command){.id = 1, .action = LK_UNLOCK, .duration = 5000}, board.now, &r);
	reader.unit.node.link.dtls->up = false; /* what it sends next fails */
	lk_node_report(&reader.unit.node, LK_REPORT_HEALTH);
	lk_app_step(&app);
	CHECK(!lk_node_is_online(&reader.unit.node) && lk_node_is_online(&lock.unit.node));
	CHECK_EQ(app.led.base, LK_LED_CONNECTING);
	CHECK_EQ(board.level, 100);
	lock.unit.node.link.dtls->up = false;
	lk_node_report(&lock.unit.node, LK_REPORT_HEALTH);
	lk_app_step(&app);
	CHECK(!lk_node_is_online(&lock.unit.node));
	CHECK_EQ(board.level, 0);
}

static void a_device_without_settings_does_not_stop_the_other(void)
{
	begin();
	provision(&board, "reader", "lk-0123456789");
	start();
	pass(3000);
	CHECK(reader.unit.ready && lk_node_is_online(&reader.unit.node) && !lock.unit.ready);
	CHECK_EQ(app.led.base, LK_LED_BARE);
	CHECK(
		strstr(second.logged, "not provisioned") != NULL && strstr(board.logged, "not provisioned") == NULL);
	board.inputs[LK_INPUT_BUTTON] = true; /* the exit button still opens */
	pass(100);
	CHECK_EQ(board.level, 100);

	begin();
	provision(&second, "lock", "lk-9999999999");
	start();
	pass(3000);
	CHECK(!reader.unit.ready && lk_node_is_online(&lock.unit.node));
	CHECK_EQ(board.spis, 0);
	CHECK_EQ(app.led.base, LK_LED_BARE);
}

static void settings_of_the_other_device_are_not_used(void)
{
	begin();
	provision(&board, "lock", "lk-0123456789");
	provision(&second, "reader", "lk-9999999999");
	start();
	CHECK(!reader.unit.ready && !lock.unit.ready);
}

static void a_case_that_is_opened_is_reported_by_both(void)
{
	bring_both_online();
	board.inputs[LK_INPUT_TAMPER] = true;
	for (int i = 0; i < 10 && !reader.unit.node.report.tamper; i++)
		lk_app_step(&app);
	CHECK(reader.unit.node.report.tamper && lock.unit.node.report.tamper);
}

static void the_board_joins_the_first_network_that_its_settings_name(void)
{
	begin();
	provision(&board, "reader", "lk-0123456789");
	provision(&second, "lock", "lk-9999999999");
	fake_kv_put_text(&second, "ssid", "locks");
	start();
	CHECK(board.joins == 1 && strcmp(board.ssid, "locks") == 0);
	fake_kv_put_text(&board, "ssid", "readers");
	start();
	CHECK(board.joins == 2 && strcmp(board.ssid, "readers") == 0);
}

static void the_light_shows_that_the_chip_does_not_answer(void)
{
	bring_both_online();
	mfrc522_model_break(&chip, MFRC522_MODEL_DEAD);
	pass(60000);
	CHECK_EQ(app.led.base, LK_LED_FAULT);
}

static void the_console_changes_the_device_that_was_chosen(void)
{
	bring_both_online();
	fake_type(&board, "device one\nrole lock\ndevice two\nrole lamp\ndevice three\n");
	pass(100);
	CHECK(strcmp(reader.unit.draft.settings.device, "one") == 0);
	CHECK(strcmp(lock.unit.draft.settings.device, "three") == 0); /* there is no lamp to choose */
	CHECK(strcmp(lock.unit.settings.device, "lock") == 0);
	fake_type(&board, "save\n");
	pass(100);
	CHECK_EQ(board.restarts, 1);
	CHECK(
		strcmp(fake_kv(&second, "device"), "three") == 0 && strcmp(fake_kv(&board, "device"), "reader") == 0);
	fake_type(&board, "erase yes\n");
	pass(100);
	CHECK(fake_kv(&board, "secret") == NULL && fake_kv(&second, "secret") == NULL);
}

int main(void)
{
	each_device_has_its_own_session_and_only_the_lock_moves_the_door();
	losing_the_locks_session_shuts_the_door_and_losing_the_readers_does_not();
	a_device_without_settings_does_not_stop_the_other();
	settings_of_the_other_device_are_not_used();
	a_case_that_is_opened_is_reported_by_both();
	the_board_joins_the_first_network_that_its_settings_name();
	the_light_shows_that_the_chip_does_not_answer();
	the_console_changes_the_device_that_was_chosen();
	return check_end("app_reader_lock");
}
