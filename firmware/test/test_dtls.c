/* The association while nobody answers, or while somebody sends anything but a valid handshake. */
#include "check.h"
#include "dtls.h"
#include "err.h"
#include "fake_port.h"

static const char identity[] = "lk-0123456789", secret[] = "0123456789abcdefghjkmnpqrs";

static struct fake_port board;
static struct lk_dtls dtls;

/* A flood: every read finds one more datagram, up to flood_limit. */
static uint8_t junk[64];
static unsigned floods, flood_limit;

static int flooded(void *ctx, uint8_t *b, size_t cap)
{
	(void)ctx;
	if (++floods > flood_limit || cap < sizeof junk)
		return 0;
	memcpy(b, junk, sizeof junk);
	return sizeof junk;
}

/* Makes a datagram of one record. */
static void make_junk(uint8_t type, uint8_t epoch)
{
	memset(junk, 0x55, sizeof junk);
	memcpy(junk, (uint8_t[]){type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 99, 0, sizeof junk - 13}, 13);
}

/* Runs the handshake until it is done or has failed, with time passing. Returns the outcome. */
static int handshake(unsigned *steps)
{
	int err;

	for (*steps = 1; (err = lk_dtls_handshake(&dtls)) == LK_EAGAIN; ++*steps) {
		uint32_t due = lk_dtls_due(&dtls);
		CHECK(due > 0 && due < 20000);
		fake_pass_time(&board, due);
	}
	return err;
}

static void a_handshake_without_answers_ends_and_leaks_nothing(void)
{
	fake_init(&board);
	board.now = UINT32_MAX - 20000; /* the clock wraps meanwhile */
	for (int i = 0; i < 200; i++) {
		unsigned steps;
		uint32_t began = board.now;
		CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
		CHECK_EQ(handshake(&steps), LK_ECLOSED);
		CHECK_EQ(board.now - began, 15000); /* 1 + 2 + 4 + 8 s */
		CHECK(steps < 20);
		if (i % 2)
			lk_dtls_close(&dtls);
	}
	lk_dtls_close(&dtls);
	lk_dtls_close(&dtls);
	CHECK_EQ(fake_heap.allocs, 0);
}

/* RFC 6347 §4.2.4.1: the first flight is retransmitted after a second. Until then the node may
 * sleep, and lk_dtls_due says how long. */
static void the_first_flight_is_retransmitted_after_a_second(void)
{
	fake_init(&board);
	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
	CHECK_EQ(lk_dtls_due(&dtls), UINT32_MAX); /* nothing was sent */
	CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	CHECK_EQ(board.sent_total, 1);
	CHECK_EQ(lk_dtls_due(&dtls), 1000);
	fake_pass_time(&board, 400);
	CHECK_EQ(lk_dtls_due(&dtls), 600);
	CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	CHECK_EQ(board.sent_total, 1);
	fake_pass_time(&board, 600);
	CHECK_EQ(lk_dtls_due(&dtls), 0);
	fake_pass_time(&board, 10); /* the loop is late */
	CHECK_EQ(lk_dtls_due(&dtls), 0);
	CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	CHECK_EQ(board.sent_total, 2);
	lk_dtls_close(&dtls);
	CHECK_EQ(lk_dtls_due(&dtls), UINT32_MAX);
	CHECK_EQ(fake_heap.allocs, 0);
}

static void a_lack_of_heap_leaks_nothing(void)
{
	unsigned steps, failures = 0;

	fake_init(&board);
	fake_heap.limit = 1;
	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), LK_ENOMEM); /* not even for the key */
	lk_dtls_close(&dtls);
	fake_heap.limit = 0;
	fake_heap.peak = 0;
	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
	(void)lk_dtls_handshake(&dtls);
	lk_dtls_close(&dtls);
	size_t enough = fake_heap.peak;
	for (size_t limit = 1; limit < enough; limit += 7) {
		fake_heap.limit = limit;
		int err = lk_dtls_open(&dtls, &board.port, identity, secret);
		if (err == 0)
			err = handshake(&steps);
		failures += err == LK_ENOMEM;
		CHECK_EQ(err, LK_ENOMEM);
		lk_dtls_close(&dtls);
		CHECK_EQ(fake_heap.allocs, 0);
	}
	fake_heap.limit = 0;
	CHECK(failures > 100);
}

static void a_board_without_random_bytes_sends_nothing(void)
{
	unsigned steps;

	fake_init(&board);
	board.random_fails = true;
	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
	CHECK_EQ(handshake(&steps), LK_ECLOSED);
	lk_dtls_close(&dtls);
	CHECK_EQ(fake_heap.allocs, 0);
	CHECK_EQ(board.sent_n, 0);
}

static void bytes_that_are_no_association_are_not_resumed(void)
{
	uint8_t b[LK_DTLS_STATE_MAX] = {0};

	fake_init(&board);
	for (size_t n = 0; n <= sizeof b; n += 5) {
		memset(b, (int)n, n);
		CHECK_EQ(lk_dtls_resume(&dtls, &board.port, b, n), LK_ECLOSED);
		lk_dtls_close(&dtls);
		CHECK_EQ(fake_heap.allocs, 0);
	}
	CHECK_EQ(board.sent_n, 0);
	CHECK(lk_dtls_save(&dtls, b, sizeof b) < 0);
}

/* A flood of datagrams must not keep the loop from feeding the watchdog. */
static void a_flood_does_not_block_the_loop(void)
{
	static const struct {
		uint8_t type, epoch;
	} kinds[] = {{21, 0}, {23, 0}, {22, 1}, {23, 1}, {20, 0}, {99, 7}};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		fake_init(&board);
		make_junk(kinds[i].type, kinds[i].epoch);
		board.port.udp_recv = flooded;
		CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
		floods = 0;
		flood_limit = 100000;
		CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
		CHECK(floods < 50);
		lk_dtls_close(&dtls);
		CHECK_EQ(fake_heap.allocs, 0);
	}
}

/* An unencrypted HelloRequest never reaches Mbed TLS. During a handshake it is ignored; later it is
 * noted as a hint. A datagram that differs from it in any fixed byte is not. */
static void a_hint_is_only_noted(void)
{
	static const uint8_t hint[] = {
		22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	uint8_t b[sizeof hint + 1] = {0}, message[64];

	fake_init(&board);
	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
	CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	unsigned sent = board.sent_total;
	for (int i = 0; i < 100; i++) {
		fake_deliver(&board, hint, sizeof hint);
		CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	}
	CHECK(!dtls.hinted);
	CHECK_EQ(board.sent_total, sent);
	dtls.up = true; /* enough for lk_dtls_recv */
	for (size_t i = 0; i <= sizeof hint; i++) {
		memcpy(b, hint, sizeof hint);
		b[i] ^= 1;
		if (i == 2 || (i >= 5 && i < 11))
			continue; /* the minor version and the sequence number may have any value */
		fake_deliver(&board, b, i == sizeof hint ? sizeof b : sizeof hint);
		(void)lk_dtls_recv(&dtls, message, sizeof message);
		CHECK(!dtls.hinted);
	}
	fake_deliver(&board, hint, sizeof hint);
	(void)lk_dtls_recv(&dtls, message, sizeof message);
	CHECK(dtls.hinted);
	dtls.up = false;
	lk_dtls_close(&dtls);
	CHECK(!dtls.hinted);
	CHECK_EQ(fake_heap.allocs, 0);
}

int main(void)
{
	a_handshake_without_answers_ends_and_leaks_nothing();
	the_first_flight_is_retransmitted_after_a_second();
	a_lack_of_heap_leaks_nothing();
	a_board_without_random_bytes_sends_nothing();
	bytes_that_are_no_association_are_not_resumed();
	a_flood_does_not_block_the_loop();
	a_hint_is_only_noted();
	return check_end("dtls");
}
