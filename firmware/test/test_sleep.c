/* What is kept in RTC memory over deep sleep, and which contents are trusted after it. */
#include "check.h"
#include "dtls_peer.h"
#include "err.h"
#include "fake_port.h"
#include "sleep.h"

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_node node;
static struct lk_sleep kept;

static void begin(void)
{
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_node_init(&node, &board.port, &settings, &counter, NULL);
}

static uint64_t take_counter(void)
{
	uint64_t n = 0;

	CHECK_EQ(lk_counter_take_next(&counter, &board.port, &n), 0);
	return n;
}

static void the_counter_continues_within_its_block(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(take_counter(), 1);
	CHECK_EQ(take_counter(), 2);
	unsigned writes = board.kv_writes;
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	fake_reboot(&board, LK_BOOT_WAKE);
	begin();
	CHECK_EQ(lk_sleep_load(&kept, &node), 0);
	CHECK_EQ(take_counter(), 3);
	CHECK_EQ(board.kv_writes, writes);
	CHECK_EQ(node.saved_len, 0);
}

static void kept_memory_can_be_read_once(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	CHECK_EQ(lk_sleep_load(&kept, &node), 0);
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
}

static void memory_with_a_flipped_bit_is_not_used(void)
{
	uint8_t good[LK_RTC_MAX];

	fake_init(&board);
	begin();
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	memcpy(good, board.rtc, sizeof good);
	for (size_t i = 0; i < sizeof good; i++) {
		memcpy(board.rtc, good, sizeof good);
		board.rtc[i] ^= (uint8_t)(1 << i % 8);
		CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
	}
	memset(board.rtc, 0, sizeof board.rtc);
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
	memset(board.rtc, 0xff, sizeof board.rtc);
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
}

static void memory_that_cannot_be_erased_is_not_used(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(take_counter(), 1);
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	board.rtc_fails = true;
	begin();
	CHECK(lk_sleep_load(&kept, &node) < 0);
	CHECK_EQ(lk_sleep_save(&kept, &node), LK_EIO);
	CHECK_EQ(take_counter(), 1 + LK_COUNTER_BLOCK);
}

static int cannot_write(void *ctx, const uint8_t *b, size_t n)
{
	(void)ctx, (void)b, (void)n;
	return LK_EIO;
}

/* Memory that can be read but not erased would be used again after the next wake. */
static void memory_that_can_be_read_but_not_erased_is_not_used(void)
{
	struct lk_port port;

	fake_init(&board);
	begin();
	CHECK_EQ(take_counter(), 1);
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	begin();
	port = board.port;
	port.rtc_set = cannot_write;
	node.link.port = &port;
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_EIO);
	CHECK_EQ(take_counter(), 1 + LK_COUNTER_BLOCK);
}

static void no_secret_stays_in_ram(void)
{
	fake_init(&board);
	begin();
	CHECK_EQ(lk_sleep_save(&kept, &node), 0);
	for (size_t i = 0; i < sizeof kept.rtc; i++)
		CHECK_EQ(kept.rtc[i], 0);
}

/* Makes the checksum right again. As sleep.c says, it is the FNV-1a of the bytes after it. */
static void fix_checksum(void)
{
	uint32_t h = 2166136261u;

	for (size_t i = 8; i < LK_RTC_MAX; i++)
		h = (h ^ board.rtc[i]) * 16777619u;
	for (int i = 0; i < 4; i++)
		board.rtc[4 + i] = (uint8_t)(h >> (24 - 8 * i));
}

static const char identity[] = "lk-0123456789", secret[] = "0123456789abcdefghjkmnpqrs";

/* Gives a node a session with peer and puts it to sleep. Returns the result of lk_sleep_save. */
static int sleep_in_session(struct dtls_peer *peer)
{
	int err = LK_EAGAIN;

	fake_init(&board);
	peer_init(peer, &board, secret);
	begin();
	CHECK_EQ(lk_dtls_open(node.link.dtls, &board.port, identity, secret), 0);
	for (int i = 0; i < 100 && err == LK_EAGAIN; i++) {
		err = lk_dtls_handshake(node.link.dtls);
		peer_process(peer);
		fake_pass_time(&board, 10);
	}
	CHECK_EQ(err, 0);
	node.state = LK_NODE_UP;
	node.link.out.token = 0xa1b2c3d4;
	node.link.out.mid = 0x1234;
	strcpy(node.registration.location, "rd/4f2a");
	memset(&kept, 0xee, sizeof kept);
	return lk_sleep_save(&kept, &node);
}

/* The session continues, and with it the numbers that must never be used twice in it. */
static void a_session_continues_after_a_sleep(void)
{
	struct dtls_peer peer;

	int len = sleep_in_session(&peer);
	CHECK(len > 0 && len <= LK_DTLS_STATE_MAX);
	CHECK(memcmp(board.rtc, "lks1", 4) == 0);
	CHECK(memcmp(board.rtc + 24, "\xa1\xb2\xc3\xd4\x12\x34rd/4f2a", 14) == 0);
	CHECK(board.rtc[55] == len >> 8 && board.rtc[56] == (len & 0xff));
	for (size_t i = 57 + (size_t)len; i < sizeof board.rtc; i++)
		CHECK_EQ(board.rtc[i], 0);
	uint8_t copy[LK_RTC_MAX];
	memcpy(copy, board.rtc, sizeof copy);
	fix_checksum();
	CHECK(memcmp(copy, board.rtc, sizeof copy) == 0);

	unsigned records = peer.records;
	fake_reboot(&board, LK_BOOT_WAKE);
	begin();
	CHECK_EQ(lk_sleep_load(&kept, &node), 0);
	CHECK(node.link.out.token == 0xa1b2c3d4 && node.link.out.mid == 0x1234 &&
		  strcmp(node.registration.location, "rd/4f2a") == 0);
	CHECK_EQ(node.saved_len, len);
	for (int i = 0; i < 5; i++)
		(void)lk_node_step(&node);
	CHECK(node.state == LK_NODE_UP && node.link.sessions == 1);
	peer_process(&peer); /* the node renews its registration, in a record that the gateway can decrypt */
	CHECK(peer.records == records + 1 && peer.got_type == PEER_DATA);
	CHECK(memcmp(peer.got + 4, "\xa1\xb2\xc3\xd5", 4) == 0);
	CHECK_EQ(node.saved_len, 0); /* it cannot be resumed again */
	for (size_t i = 57; i < 57 + (size_t)len; i++)
		CHECK_EQ(kept.rtc[i], 0);
	lk_dtls_close(node.link.dtls);
	peer_free(&peer);
	CHECK_EQ(fake_heap.allocs, 0);
}

/* Contents that no node can have written are not used, even with the right checksum. */
static void memory_that_makes_no_sense_is_not_used(void)
{
	static const struct {
		size_t len;
		bool good;
	} cases[] = {{1, true}, {LK_RTC_MAX - 57, true}, {LK_RTC_MAX - 57 + 1, false}, {LK_RTC_MAX, false},
		{UINT16_MAX, false}};
	struct dtls_peer peer;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		(void)sleep_in_session(&peer);
		board.rtc[55] = (uint8_t)(cases[i].len >> 8);
		board.rtc[56] = (uint8_t)cases[i].len;
		fix_checksum();
		begin();
		CHECK_EQ(lk_sleep_load(&kept, &node), cases[i].good ? 0 : LK_ENONE);
		CHECK_EQ(node.saved_len, cases[i].good ? cases[i].len : 0);
		peer_free(&peer);
	}
	(void)sleep_in_session(&peer);
	memset(board.rtc + 30, 'a', 24);
	fix_checksum();
	memcpy(kept.rtc, board.rtc, sizeof kept.rtc);
	begin();
	CHECK_EQ(lk_sleep_load(&kept, &node), 0);
	CHECK_EQ(strlen(node.registration.location), 24);
	memcpy(board.rtc, kept.rtc, sizeof board.rtc);
	memcpy(board.rtc, "lks1", 4);
	board.rtc[54] = 'a'; /* a path without its closing NUL */
	fix_checksum();
	begin();
	CHECK_EQ(lk_sleep_load(&kept, &node), LK_ENONE);
	CHECK_EQ(node.saved_len, 0);
	peer_free(&peer);
}

int main(void)
{
	a_session_continues_after_a_sleep();
	memory_that_makes_no_sense_is_not_used();
	the_counter_continues_within_its_block();
	kept_memory_can_be_read_once();
	memory_with_a_flipped_bit_is_not_used();
	memory_that_cannot_be_erased_is_not_used();
	memory_that_can_be_read_but_not_erased_is_not_used();
	no_secret_stays_in_ram();
	return check_end("sleep");
}
