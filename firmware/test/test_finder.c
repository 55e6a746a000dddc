/* How a node finds its gateway by a name: whom it asks, which addresses it tries, in which order and
 * for how long, and what it remembers. */
#include <stdlib.h>

#include "check.h"
#include "clear_node.h"

enum { MINE = 0x0a000002, OTHER = 0x0a000003, FIRST_LIAR = 0x0a000064 };

static uint32_t right; /* the address of the gateway; everywhere else nobody has the key */

static void boot_at(const char *host)
{
	init_node(false);
	board.ask_result = 0;
	snprintf(settings.host, sizeof settings.host, "%s", host);
	memset(&node, 0, sizeof node);
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	right = MINE;
}

static const char *text_of(uint32_t a)
{
	static char text[16];

	snprintf(text, sizeof text, "%u.%u.%u.%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
	return text;
}

static void step_for(uint32_t ms)
{
	clear_handshake = strcmp(board.host, text_of(right)) == 0 ? 0 : LK_EAGAIN;
	uint32_t due = lk_node_step(&node);
	fake_pass_time(&board, due < 1 ? 1 : due < ms ? due : ms);
}

/* Runs the node until it asks, and takes the question. Returns its length, 0 if it does not ask. */
static size_t await_question(uint8_t q[LK_DNS_QUESTION], uint32_t ms)
{
	unsigned before = board.asks;

	for (uint32_t end = board.now + ms; board.asks == before && (int32_t)(end - board.now) > 0;)
		step_for(10);
	size_t n = 0, more;
	uint8_t b[FAKE_DATAGRAM];
	while ((more = fake_take_sent(&board, b, sizeof b)) > 0)
		if ((n = more) <= LK_DNS_QUESTION)
			memcpy(q, b, n);
	return board.asks == before ? 0 : n;
}

static void answer(const uint8_t *question, size_t n, uint32_t address)
{
	uint8_t b[LK_DNS_QUESTION + 16];

	memcpy(b, question, n);
	b[2] |= 0x84;
	b[7] = 1;
	memcpy(b + n, "\xc0\x0c\0\1\x80\1\0\0\0\x78\0\4", 12);
	for (int i = 0; i < 4; i++)
		b[n + 12 + (size_t)i] = (uint8_t)(address >> (24 - 8 * i));
	fake_deliver(&board, b, n + 16);
}

/* Runs the node for ms, or until it has a session. */
static bool await_session(uint32_t ms)
{
	for (uint32_t end = board.now + ms; node.state != LK_NODE_UP && (int32_t)(end - board.now) > 0;)
		step_for(10);
	return node.state == LK_NODE_UP;
}

/* Nobody answers the registration, so the session ends after some seconds. */
static void lose_session(void)
{
	while (node.state == LK_NODE_UP)
		step_for(50);
}

static void a_name_is_asked_for_and_its_address_kept(void)
{
	uint8_t q[LK_DNS_QUESTION];
	size_t n;

	boot_at("Gw.LOCAL");
	CHECK((n = await_question(q, 2000)) == 12 + 10 + 4);
	CHECK(board.asks_local && q[2] == 0);
	answer(q, n, MINE);
	CHECK(await_session(2000));
	CHECK(logged("asking for the gateway's name 1\n") && strcmp(board.host, "10.0.0.2") == 0);
	CHECK_EQ(board.asks, 1);
	const char *kept = fake_kv(&board, "found");
	CHECK(kept != NULL && strcmp(kept + 4, "Gw.LOCAL") == 0);
	/* While there is a session nobody is asked, and after a loss the address that worked comes first. */
	lose_session();
	CHECK(await_session(4000));
	CHECK_EQ(board.asks, 1);
	CHECK_EQ(board.kv_writes, 1);
	/* Nor after a power cut. */
	boot_at("Gw.LOCAL");
	CHECK_EQ(board.asks, 0);
}

static void what_worked_is_tried_first_after_a_boot_and_only_for_its_name(void)
{
	static const char kept[] = "\2\0\0\x0a" "gw.local";

	for (int same = 0; same < 2; same++) {
		boot_at("gw.local");
		fake_kv_put(&board, "found", kept, 4 + (same ? 8 : 7));
		memset(&node, 0, sizeof node);
		lk_node_init(&node, &board.port, &settings, &counter, NULL);
		CHECK_EQ(node.finder.last, same ? MINE : 0);
		CHECK_EQ(await_session(2500), same);
		CHECK(same ? board.asks == 0 : board.asks > 0);
	}
}

static void a_name_of_a_server_is_asked_of_it(void)
{
	uint8_t q[LK_DNS_QUESTION];
	size_t n;

	boot_at("door.example.org");
	CHECK((n = await_question(q, 2000)) > 0);
	CHECK(!board.asks_local && q[2] == 1);
	uint32_t began = board.now;
	answer(q, n, MINE);
	CHECK(await_session(2000) && board.now - began < 100); /* a server answers once */

	static const char *const not_local[] = {"local", "xlocal", "gw.locals", "local.example"};
	for (size_t i = 0; i < sizeof not_local / sizeof *not_local; i++) {
		boot_at(not_local[i]);
		CHECK(await_question(q, 2000) > 0 && !board.asks_local);
	}
	boot_at("gw.local.");
	CHECK(await_question(q, 2000) > 0 && board.asks_local);
}

static void an_address_is_not_asked_for(void)
{
	static const char *const hosts[] = {"10.0.0.2", "2001:db8::1"};

	for (int i = 0; i < 2; i++) {
		boot_at(hosts[i]);
		clear_handshake = LK_EAGAIN;
		right = 0;
		CHECK(!await_session(10000));
		CHECK(board.asks == 0 && board.opens == 1); /* and its handshake has no limit of 2 s */
	}
}

/* Answers at full rate from `liars` addresses, the gateway's in between. Returns how long the node
 * took to find it. */
static uint32_t find_among(unsigned liars, unsigned rounds_of_answers)
{
	uint8_t q[LK_DNS_QUESTION];
	size_t n = 0;
	unsigned asks = 0, sent = 0;

	boot_at("gw.local");
	uint32_t began = board.now;
	while (node.state != LK_NODE_UP && board.now - began < 300000) {
		if (board.asks != asks) {
			uint8_t b[FAKE_DATAGRAM];
			while ((n = fake_take_sent(&board, b, sizeof b)) > 0 && n > LK_DNS_QUESTION)
				;
			memcpy(q, b, n);
			asks = board.asks;
			sent = 0;
		}
		if (node.finder.phase == LK_FINDER_LISTEN && n > 0 && sent < rounds_of_answers) {
			for (unsigned i = 0; i < liars; i++)
				answer(q, n, FIRST_LIAR + i);
			if (sent++ == 0)
				answer(q, n, MINE); /* last of all */
		}
		step_for(10);
	}
	return board.now - began;
}

static void a_stranger_costs_2_s_and_is_forgotten(void)
{
	uint32_t took = find_among(1, 20);

	CHECK(node.state == LK_NODE_UP && took >= 2000 && took < 4500);
	CHECK_EQ(board.asks, 1);
	CHECK(logged("not the gateway's address"));
	lose_session();
	CHECK(await_session(2000));
	CHECK_EQ(board.asks, 1); /* the gateway's is first */
	/* As many as are remembered: in the third round all of them make room. */
	took = find_among(LK_FINDER_REFUSED, 20);
	CHECK(node.state == LK_NODE_UP && took < 25000);
	CHECK(board.asks <= 3);
}

static void one_that_was_refused_is_tried_again_when_there_is_no_other(void)
{
	uint8_t q[LK_DNS_QUESTION];
	size_t n;

	boot_at("gw.local");
	right = 0; /* the gateway is down */
	CHECK((n = await_question(q, 2000)) > 0);
	answer(q, n, MINE);
	CHECK(!await_session(3000));
	right = MINE;
	CHECK((n = await_question(q, 5000)) > 0);
	answer(q, n, OTHER);
	answer(q, n, MINE);
	uint32_t began = board.now;
	CHECK(await_session(4000));
	CHECK(board.now - began > 2000); /* after the other one */
}

static void a_question_a_second_at_most_and_a_round_that_finds_nothing_pauses(void)
{
	uint8_t q[LK_DNS_QUESTION];
	uint32_t last = 0;
	unsigned asked = 0;

	boot_at("gw.local");
	right = 0;
	for (uint32_t end = board.now + 60000; (int32_t)(end - board.now) > 0; asked++) {
		size_t n = await_question(q, 60000);
		CHECK(n > 0 && (asked == 0 || board.now - last >= 990));
		last = board.now;
		if (asked % 2)
			answer(q, n, OTHER);
	}
	CHECK(asked >= 4 && asked <= 12);
	/* A card that is held skips the pause, not the second. */
	(void)await_question(q, 100000);
	last = board.now;
	while (node.at <= board.now || node.state != LK_NODE_WAITING)
		step_for(10);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	CHECK(await_question(q, 3000) > 0 && board.now - last >= 990);
}

static void no_group_and_nobody_is_called(void)
{
	static const uint32_t bad[] = {0, 1, 0x00ffffff, 0xe00000fb, 0xffffffff};
	uint8_t q[LK_DNS_QUESTION];
	size_t n;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		boot_at("gw.local");
		CHECK((n = await_question(q, 2000)) > 0);
		answer(q, n, bad[i]);
		CHECK(!await_session(2000));
		CHECK_EQ(board.opens, 0);
	}
}

static void the_longest_name_is_kept(void)
{
	static const char longest[] = "a23456789012345678901234567890.b2345678901234567890123456.local";
	uint8_t q[LK_DNS_QUESTION];

	CHECK_EQ(sizeof longest, sizeof settings.host);
	boot_at(longest);
	size_t n = await_question(q, 2000);
	CHECK_EQ(n, LK_DNS_QUESTION);
	answer(q, n, MINE);
	CHECK(await_session(2000));
	memset(&node, 0, sizeof node);
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	CHECK_EQ(node.finder.last, MINE);
}

/* A reader that wakes goes on with its session at the last address, and asks nobody. */
static void a_resumed_session_is_at_the_last_address(void)
{
	uint8_t state[8] = {1};

	boot_at("gw.local");
	fake_kv_put(&board, "found", "\2\0\0\x0a" "gw.local", 12);
	memset(&node, 0, sizeof node);
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
	lk_node_resume(&node, state, sizeof state);
	step_for(10);
	CHECK(logged("session resumed 1\n") && strcmp(board.host, "10.0.0.2") == 0);
	CHECK(lk_node_scan(&node, uid, sizeof uid, board.now));
	for (uint32_t end = board.now + 1500; (int32_t)(end - board.now) > 0;)
		step_for(10);
	/* When it is not answered, a handshake at that address is next. */
	CHECK(logged("resumed session is not answered") && logged("session up 2\n"));
	CHECK(board.asks == 0 && board.opens == 2);
}

static void flash_is_written_8_times_in_a_boot(void)
{
	uint8_t q[LK_DNS_QUESTION];

	boot_at("gw.local");
	for (uint32_t i = 0; i < 12; i++) {
		right = 0;
		size_t n = await_question(q, 200000);
		right = MINE + i;
		answer(q, n, right);
		CHECK(await_session(3000));
		CHECK_EQ(board.kv_writes, i < 8 ? i + 1 : 8);
		right = 0;
		lose_session();
	}
}

static void a_board_that_cannot_ask_gets_the_name(void)
{
	boot_at("gw.local");
	board.ask_result = LK_ENONE;
	(void)await_session(2000);
	CHECK(strcmp(board.host, "gw.local") == 0 && board.opens == 1);
	boot_at("gw.local");
	board.ask_result = LK_EIO;
	(void)await_session(10000);
	CHECK(board.opens == 0 && logged("session lost, error 4\n"));
}

static void the_numbers_of_an_address_are_written(void)
{
	static const uint32_t some[] = {0x01000000, 0x0a0a6463, 0xdfffffff, 0xc0a80001};
	uint8_t q[LK_DNS_QUESTION];

	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		boot_at("gw.local");
		size_t n = await_question(q, 2000);
		right = some[i];
		answer(q, n, some[i]);
		CHECK(await_session(2000));
		CHECK(strcmp(board.host, text_of(some[i])) == 0);
	}
}

int main(void)
{
	a_name_is_asked_for_and_its_address_kept();
	what_worked_is_tried_first_after_a_boot_and_only_for_its_name();
	a_name_of_a_server_is_asked_of_it();
	an_address_is_not_asked_for();
	a_stranger_costs_2_s_and_is_forgotten();
	one_that_was_refused_is_tried_again_when_there_is_no_other();
	a_question_a_second_at_most_and_a_round_that_finds_nothing_pauses();
	no_group_and_nobody_is_called();
	the_longest_name_is_kept();
	a_resumed_session_is_at_the_last_address();
	flash_is_written_8_times_in_a_boot();
	a_board_that_cannot_ask_gets_the_name();
	the_numbers_of_an_address_are_written();
	return check_end("finder");
}
