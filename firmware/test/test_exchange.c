/* The one request that is under way: when it is retransmitted, and which messages answer it. */
#include "check.h"
#include "exchange.h"

static struct lk_exchange x;

/* Begins a request that was sent at now. */
static void begin(uint32_t now, uint32_t random)
{
	struct lk_coap_out o;

	lk_exchange_begin(&x, &o, LK_COAP_POST, "scan");
	CHECK(lk_exchange_mark_sent(&x, lk_coap_end(&o, 0), now, random));
}

/* Gives x a message and returns how it matches the request. */
static enum lk_exchange_match take(uint8_t type, uint8_t code, uint16_t mid, uint32_t token, uint32_t now)
{
	uint8_t b[16],
		t[4] = {(uint8_t)(token >> 24), (uint8_t)(token >> 16), (uint8_t)(token >> 8), (uint8_t)token};
	struct lk_coap_out o;
	struct lk_coap m;

	lk_coap_begin(&o, b, sizeof b, type, code, mid, t, code == LK_COAP_EMPTY ? 0 : sizeof t);
	int n = lk_coap_end(&o, 0);
	CHECK(n > 0 && lk_coap_parse(&m, b, (size_t)n) == 0);
	return lk_exchange_take(&x, &m, now);
}

static void the_first_wait_is_a_second_to_one_and_a_half(void)
{
	uint32_t longest = 0;

	for (uint32_t random = 0; random < 2000; random += 13) {
		lk_exchange_reset(&x, 7);
		begin(100, random);
		CHECK(x.wait >= 1000 && x.wait < 1500);
		longest = x.wait > longest ? x.wait : longest;
		CHECK(!lk_exchange_must_retransmit(&x, 100 + x.wait - 1));
		CHECK(lk_exchange_must_retransmit(&x, 100 + x.wait));
	}
	CHECK(longest >= 1450); /* spread over the whole range (RFC 7252 §4.2) */
}

static void each_wait_doubles_and_there_are_four_retransmissions(void)
{
	uint32_t now = UINT32_MAX - 2000; /* the clock wraps meanwhile */

	lk_exchange_reset(&x, 7);
	begin(now, 0);
	for (uint32_t i = 0, wait = 1000; i < LK_MAX_RETRANSMIT; i++, wait *= 2) {
		CHECK_EQ(lk_exchange_due(&x, now), wait);
		now += wait;
		CHECK(lk_exchange_must_retransmit(&x, now));
		CHECK(!lk_exchange_must_retransmit(&x, now));
	}
	CHECK_EQ(lk_exchange_due(&x, now), UINT32_MAX);
	CHECK(!lk_exchange_must_retransmit(&x, now + 100000));
	CHECK(x.active); /* a late answer still counts */
	begin(now, 0);   /* the next request is retransmitted as often */
	CHECK_EQ(lk_exchange_due(&x, now + 1500), 0); /* the loop is late */
	for (uint32_t i = 0; i < LK_MAX_RETRANSMIT; i++)
		CHECK(lk_exchange_must_retransmit(&x, now += x.wait));
	CHECK_EQ(lk_exchange_due(&x, now), UINT32_MAX);
}

static void the_wait_follows_the_round_trip(void)
{
	static const struct {
		uint32_t rtt, wait;
	} cases[] = {{0, 200}, {5, 200}, {70, 200}, {100, 200}, {150, 300}, {400, 800}, {500, 1000}, {700, 1000},
		{3000, 1000}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		lk_exchange_reset(&x, 7);
		begin(5000, 0);
		CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token, 5000 + cases[i].rtt), LK_EXCHANGE_ANSWER);
		begin(10000, 0);
		CHECK_EQ(x.wait, cases[i].wait);
	}
}

/* One slow answer among quick ones counts for an eighth (RFC 6298 §2.3). */
static void the_round_trip_is_smoothed(void)
{
	lk_exchange_reset(&x, 7);
	begin(0, 0);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token, 200), LK_EXCHANGE_ANSWER);
	begin(1000, 0);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token, 1000 + 1000), LK_EXCHANGE_ANSWER);
	begin(3000, 0);
	CHECK_EQ(x.wait, 2 * (200 + (1000 - 200) / 8));
}

static void a_retransmitted_request_gives_no_sample(void)
{
	lk_exchange_reset(&x, 7);
	begin(0, 0);
	CHECK(lk_exchange_must_retransmit(&x, 1000));
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token, 1001), LK_EXCHANGE_ANSWER);
	CHECK_EQ(x.srtt, 0);
}

static void only_its_own_answer_ends_it(void)
{
	lk_exchange_reset(&x, 7);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, 7, 0, 0), LK_EXCHANGE_OTHER); /* nothing was asked */
	begin(0, 0);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, (uint16_t)(x.mid + 1), x.token, 1), LK_EXCHANGE_OTHER);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token + 1, 1), LK_EXCHANGE_OTHER);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_EMPTY, (uint16_t)(x.mid - 1), 0, 1), LK_EXCHANGE_OTHER);
	CHECK_EQ(take(LK_COAP_RST, LK_COAP_EMPTY, (uint16_t)(x.mid - 1), 0, 1), LK_EXCHANGE_OTHER);
	CHECK_EQ(take(LK_COAP_CON, LK_COAP_EMPTY, x.mid, 0, 1), LK_EXCHANGE_OTHER); /* a ping */
	/* a request from the other side */
	CHECK_EQ(take(LK_COAP_CON, LK_COAP_POST, x.mid, x.token, 1), LK_EXCHANGE_OTHER);
	CHECK(x.active);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token, 1), LK_EXCHANGE_ANSWER);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, x.token, 1), LK_EXCHANGE_OTHER); /* a second time */
}

static void an_answer_may_be_separate(void)
{
	lk_exchange_reset(&x, 7);
	begin(0, 0);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_EMPTY, x.mid, 0, 1), LK_EXCHANGE_ACKED);
	CHECK_EQ(lk_exchange_due(&x, 1), UINT32_MAX); /* acknowledged: no retransmission */
	CHECK_EQ(take(LK_COAP_CON, LK_COAP_CHANGED, 0x4444, x.token, 900), LK_EXCHANGE_ANSWER);
	begin(1000, 0); /* the next one has not been acknowledged yet */
	CHECK(lk_exchange_due(&x, 1000) < 1000);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_EMPTY, x.mid, 0, 1000 + 150), LK_EXCHANGE_ACKED);
	CHECK_EQ(take(LK_COAP_CON, LK_COAP_CHANGED, 0x4445, x.token, 1900), LK_EXCHANGE_ANSWER);
}

/* The time until a separate answer includes the other side's work. The time until the
 * acknowledgement is the round trip. */
static void an_acknowledgement_is_a_sample(void)
{
	lk_exchange_reset(&x, 7);
	begin(0, 0);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_EMPTY, x.mid, 0, 150), LK_EXCHANGE_ACKED);
	CHECK_EQ(take(LK_COAP_CON, LK_COAP_CHANGED, 0x4444, x.token, 900), LK_EXCHANGE_ANSWER);
	begin(1000, 0);
	CHECK_EQ(x.wait, 300);
}

/* Codes 0.01 to 0.31 are methods, even those that RFC 7252 does not define. */
static void no_request_is_an_answer(void)
{
	lk_exchange_reset(&x, 7);
	for (uint8_t code = 1; code < 32; code++) {
		begin(0, 0);
		CHECK_EQ(take(LK_COAP_ACK, code, x.mid, x.token, 1), LK_EXCHANGE_OTHER);
		CHECK_EQ(take(LK_COAP_CON, code, 0x4444, x.token, 1), LK_EXCHANGE_OTHER);
		CHECK_EQ(take(LK_COAP_CON, code, 0x4444, x.token - 1, 1), LK_EXCHANGE_OTHER);
		CHECK(x.active);
	}
}

/* Our tokens have four bytes: a message with a shorter or longer token answers no request of ours,
 * be it current or past. */
static void a_token_of_another_length_is_not_ours(void)
{
	static const uint8_t token[LK_COAP_TOKEN_MAX] = {0, 0, 0, 1};

	lk_exchange_reset(&x, 7);
	begin(0, 0);
	CHECK_EQ(x.token, 1);
	for (size_t n = 0; n <= sizeof token; n++) {
		uint8_t b[16];
		struct lk_coap_out o;
		struct lk_coap m;
		lk_coap_begin(&o, b, sizeof b, LK_COAP_NON, LK_COAP_CHANGED, 0x4444, token, n);
		CHECK(lk_coap_parse(&m, b, (size_t)lk_coap_end(&o, 0)) == 0);
		struct lk_exchange before = x;
		CHECK_EQ(lk_exchange_take(&x, &m, 1), n == LK_TOKEN_LEN ? LK_EXCHANGE_ANSWER : LK_EXCHANGE_OTHER);
		x = before;
	}
}

static void a_separate_answer_acknowledges_the_request(void)
{
	static const uint8_t types[] = {LK_COAP_CON, LK_COAP_NON};

	for (size_t i = 0; i < sizeof types; i++) {
		lk_exchange_reset(&x, 7);
		begin(0, 0);
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4444, x.token, 900), LK_EXCHANGE_ANSWER);
		CHECK_EQ(lk_exchange_due(&x, 900), UINT32_MAX);
		CHECK_EQ(x.srtt, 0); /* the time includes the other side's work */
		/* its ACK, which arrives after the answer */
		CHECK_EQ(take(LK_COAP_ACK, LK_COAP_EMPTY, x.mid, 0, 901), LK_EXCHANGE_OTHER);
	}
}

static void a_late_or_duplicate_answer_is_recognized(void)
{
	static const uint8_t types[] = {LK_COAP_CON, LK_COAP_NON};

	for (size_t i = 0; i < sizeof types; i++) {
		lk_exchange_reset(&x, 7);
		begin(0, 0);
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4444, x.token, 900), LK_EXCHANGE_ANSWER);
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4444, x.token, 950), LK_EXCHANGE_LATE);
		begin(1000, 0);
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4444, x.token - 1, 1001), LK_EXCHANGE_LATE);
		/* never asked */
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4444, x.token + 1, 1001), LK_EXCHANGE_OTHER);
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4444, 0, 1001), LK_EXCHANGE_OTHER);
		CHECK_EQ(take(types[i], LK_COAP_POST, 0x4444, x.token - 1, 1001), LK_EXCHANGE_OTHER); /* a request */
		CHECK(x.active);
		lk_exchange_forget(&x);
		CHECK_EQ(take(types[i], LK_COAP_CHANGED, 0x4445, x.token, 1002), LK_EXCHANGE_LATE);
	}
}

static void a_reset_ends_it(void)
{
	lk_exchange_reset(&x, 7);
	begin(0, 0);
	CHECK_EQ(take(LK_COAP_RST, LK_COAP_EMPTY, x.mid, 0, 1), LK_EXCHANGE_RESET);
	CHECK(!x.active);
}

static void no_token_and_no_id_is_used_twice(void)
{
	lk_exchange_reset(&x, 0x12345);
	begin(0, 0);
	CHECK_EQ(x.mid, 0x2346); /* the first one is random */
	lk_exchange_reset(&x, 65534);
	for (uint32_t i = 1; i < 10; i++) {
		uint16_t mid = x.mid;
		begin(0, 0);
		CHECK_EQ(x.token, i);
		CHECK_EQ(x.mid, (uint16_t)(mid + 1));
	}
}

static void what_does_not_fit_is_not_sent(void)
{
	struct lk_coap_out o;
	char path[LK_MESSAGE_MAX + 1];

	memset(path, 'a', sizeof path - 1);
	path[sizeof path - 1] = 0;
	lk_exchange_reset(&x, 7);
	begin(0, 0);
	lk_exchange_begin(&x, &o, LK_COAP_POST, path);
	CHECK(!lk_exchange_mark_sent(&x, lk_coap_end(&o, 0), 0, 0));
	CHECK(!x.active);
}

/* All four bytes of the token are compared, in the order in which they are sent. */
static void a_token_is_four_bytes_with_the_highest_first(void)
{
	lk_exchange_reset(&x, 7);
	x.token = 0xa1b2c3d3;
	begin(0, 0);
	CHECK(memcmp(x.b + 4, "\xa1\xb2\xc3\xd4", 4) == 0);
	for (int bit = 0; bit < 32; bit++)
		CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, 0xa1b2c3d4 ^ 1u << bit, 1), LK_EXCHANGE_OTHER);
	CHECK_EQ(take(LK_COAP_ACK, LK_COAP_CHANGED, x.mid, 0xa1b2c3d4, 1), LK_EXCHANGE_ANSWER);
}

int main(void)
{
	a_token_is_four_bytes_with_the_highest_first();
	the_first_wait_is_a_second_to_one_and_a_half();
	each_wait_doubles_and_there_are_four_retransmissions();
	the_wait_follows_the_round_trip();
	a_retransmitted_request_gives_no_sample();
	the_round_trip_is_smoothed();
	an_acknowledgement_is_a_sample();
	no_request_is_an_answer();
	a_token_of_another_length_is_not_ours();
	only_its_own_answer_ends_it();
	an_answer_may_be_separate();
	a_separate_answer_acknowledges_the_request();
	a_late_or_duplicate_answer_is_recognized();
	a_reset_ends_it();
	no_token_and_no_id_is_used_twice();
	what_does_not_fit_is_not_sent();
	return check_end("exchange");
}
