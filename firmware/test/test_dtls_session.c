/* The association with a peer that has the key, and with an attacker on the path who does not have
 * it. */
#include "check.h"
#include "dtls.h"
#include "dtls_peer.h"
#include "err.h"
#include "fake_port.h"

static const char identity[] = "lk-0123456789", secret[] = "0123456789abcdefghjkmnpqrs",
				  other[] = "zyxwvtsrqpnmkjhgfedcba9876";
static const uint8_t hello[] = "hello", again[] = "again";

static struct fake_port board;
static struct lk_dtls dtls;
static struct dtls_peer peer;
static uint8_t in[LK_DATAGRAM_MAX];

/* Makes a handshake with the peer, whose datagrams take 10 ms. Returns the outcome. */
static int handshake(void)
{
	int err = LK_EAGAIN;

	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
	for (int i = 0; i < 100 && err == LK_EAGAIN; i++) {
		err = lk_dtls_handshake(&dtls);
		peer_process(&peer);
		fake_pass_time(&board, board.inbox_n > 0 ? 10 : 1000);
	}
	return err;
}

static void begin(const char *key)
{
	fake_init(&board);
	peer_init(&peer, &board, key);
}

static void end(void)
{
	lk_dtls_close(&dtls);
	peer_free(&peer);
	CHECK_EQ(fake_heap.allocs, 0);
}

static void begin_session(void)
{
	begin(secret);
	CHECK_EQ(handshake(), 0);
	CHECK(peer.up && dtls.up);
}

/* Delivers a and b in one datagram. */
static void deliver_together(const uint8_t *a, size_t a_n, const uint8_t *b, size_t b_n)
{
	uint8_t both[2 * PEER_RECORD_MAX];

	memcpy(both, a, a_n);
	memcpy(both + a_n, b, b_n);
	fake_deliver(&board, both, a_n + b_n);
}

/* Tells whether each side gets what the other encrypted, whole. */
static bool carries_both_ways(void)
{
	memset(peer.got, 0, sizeof peer.got);
	CHECK_EQ(lk_dtls_send(&dtls, hello, sizeof hello), 0);
	peer_process(&peer);
	bool there = peer.got_type == PEER_DATA && peer.got_n == sizeof hello &&
	             memcmp(peer.got, hello, sizeof hello) == 0;
	peer_send(&peer, PEER_DATA, again, sizeof again);
	int n = lk_dtls_recv(&dtls, in, sizeof in);
	return there && n == sizeof again && memcmp(in, again, sizeof again) == 0;
}

static void two_with_the_same_key_exchange_messages(void)
{
	begin_session();
	CHECK(strcmp(peer.identity, identity) == 0);
	CHECK_EQ(peer.hellos, 2); /* one without the cookie, one with it */
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	for (int i = 0; i < 100; i++)
		CHECK(carries_both_ways());
	lk_dtls_close(&dtls);
	CHECK(!dtls.up);
	peer_process(&peer); /* closing sends close_notify, a warning */
	CHECK(peer.got_type == PEER_ALERT && peer.got_n == 2 && peer.got[0] == 1 && peer.got[1] == 0);
	end();
}

static void a_peer_with_another_key_is_refused(void)
{
	begin(other);
	CHECK_EQ(handshake(), LK_ECLOSED);
	CHECK(!dtls.up && !peer.up);
	CHECK(lk_dtls_send(&dtls, hello, sizeof hello) < 0);
	end();
	begin(secret);
	peer.spoil_finished = true;
	CHECK_EQ(handshake(), LK_ECLOSED);
	CHECK(!dtls.up);
	CHECK(lk_dtls_send(&dtls, hello, sizeof hello) < 0);
	end();
}

/* Any attacker on the path can send an unencrypted alert. */
static void an_unencrypted_alert_ends_no_handshake(void)
{
	begin(secret);
	peer.clear_alerts = true;
	CHECK_EQ(handshake(), 0);
	CHECK(carries_both_ways());
	end();
}

/* Neither an alert after a record of the handshake nor an invalid ChangeCipherSpec ends it. */
static void no_forged_record_beside_a_flight_ends_the_handshake(void)
{
	static const uint8_t long_ccs[] = {1, 1}, other_ccs[] = {2};
	uint8_t forged[PEER_RECORD_MAX];
	int err = LK_EAGAIN;

	for (int how = 0; how < 3; how++) {
		begin(secret);
		CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
		CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
		peer_process(&peer);
		CHECK_EQ(board.inbox_n, 1);
		struct fake_datagram flight = board.inbox[0];
		size_t n = how == 0 ? peer_write_clear(&peer, PEER_ALERT, (const uint8_t[]){2, 40}, 2, forged)
		         : how == 1 ? peer_write_clear(&peer, PEER_CCS, long_ccs, sizeof long_ccs, forged)
		                    : peer_write_clear(&peer, PEER_CCS, other_ccs, sizeof other_ccs, forged);
		board.inbox_n = 0;
		deliver_together(flight.b, flight.n, forged, n);
		fake_deliver(&board, forged, n);
		CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
		CHECK_EQ(board.sent_n, 0); /* the whole datagram is dropped */
		fake_deliver(&board, flight.b, flight.n);
		err = LK_EAGAIN;
		for (int i = 0; i < 20 && err == LK_EAGAIN; i++) {
			err = lk_dtls_handshake(&dtls);
			peer_process(&peer);
			fake_pass_time(&board, 10);
		}
		CHECK_EQ(err, 0);
		CHECK(carries_both_ways());
		end();
	}
}

/* Once keys are agreed, no unencrypted record may reach the handshake's parser. A datagram with
 * such a record is not from the gateway, so it is dropped as a whole, with the encrypted record in
 * it. */
static void unencrypted_records_are_dropped_after_the_handshake(void)
{
	static const uint8_t types[] = {PEER_CCS, PEER_ALERT, PEER_HANDSHAKE, PEER_DATA, PEER_CID, 0, 99};
	static const uint8_t finished[24] = {20, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 12}, one[] = {1};
	enum { RECORD_HEADER = 13 };
	uint8_t clear[PEER_RECORD_MAX], sealed[PEER_RECORD_MAX];

	begin_session();
	for (size_t i = 0; i < sizeof types; i++)
		for (int order = 0; order < 3; order++) {
			size_t m = peer_write_sealed(&peer, PEER_DATA, again, sizeof again, sealed);
			/* 2: both records have the same length */
			size_t len = order == 2 ? m - RECORD_HEADER : sizeof finished;
			bool ccs = types[i] == PEER_CCS && order < 2;
			size_t n = peer_write_clear(&peer, types[i], ccs ? one : finished, ccs ? 1 : len, clear);
			if (order == 0)
				deliver_together(clear, n, sealed, m);
			else
				deliver_together(sealed, m, clear, n);
			CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
			fake_deliver(&board, clear, n);
			CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
			CHECK(carries_both_ways());
		}
	end();
}

/* A datagram whose records do not end where it ends is dropped as a whole. */
static void a_datagram_must_be_whole(void)
{
	uint8_t sealed[PEER_RECORD_MAX];

	begin_session();
	size_t n = peer_write_sealed(&peer, PEER_DATA, hello, sizeof hello, sealed);
	deliver_together(sealed, n, sealed, 1);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	deliver_together(sealed, n, sealed, 12);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	deliver_together(sealed, n, sealed, n - 1);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	fake_deliver(&board, sealed, n - 1);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	memset(in, 0xff, sizeof in);
	/* stale bytes in the buffer that would continue the record that is cut short */
	in[n + 11] = in[n + 12] = 0;
	fake_deliver(&board, in, sizeof in); /* leaves them there */
	fake_deliver(&board, sealed, n - 1);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	fake_deliver(&board, sealed, n); /* its sequence number has not been used */
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), sizeof hello);
	fake_deliver(&board, sealed, n); /* now it has: a replay */
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	CHECK(carries_both_ways());
	end();
}

/* Any attacker can forge one during the handshake. */
static void a_record_without_content_is_ignored(void)
{
	uint8_t empty[PEER_RECORD_MAX];

	begin(secret);
	CHECK_EQ(lk_dtls_open(&dtls, &board.port, identity, secret), 0);
	CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	unsigned sent = board.sent_total;
	size_t n = peer_write_clear(&peer, PEER_HANDSHAKE, hello, 0, empty);
	fake_deliver(&board, empty, n);
	CHECK_EQ(lk_dtls_handshake(&dtls), LK_EAGAIN);
	CHECK_EQ(board.sent_total, sent);
	end();
}

static void each_record_of_a_datagram_is_a_message(void)
{
	uint8_t first[PEER_RECORD_MAX], second[PEER_RECORD_MAX];

	begin_session();
	size_t n = peer_write_sealed(&peer, PEER_DATA, hello, sizeof hello, first);
	size_t m = peer_write_sealed(&peer, PEER_DATA, again, sizeof again - 1, second);
	deliver_together(first, n, second, m);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), sizeof hello);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), sizeof again - 1);
	CHECK(memcmp(in, again, sizeof again - 1) == 0);
	end();
}

static void the_shortest_message_is_one_byte(void)
{
	begin_session();
	peer_send(&peer, PEER_DATA, hello, 0);
	/* a record without content is neither a message nor an error */
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	peer_send(&peer, PEER_DATA, hello, 1);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), 1);
	CHECK(carries_both_ways());
	end();
}

static void a_changed_record_is_dropped_and_the_session_stays(void)
{
	uint8_t sealed[PEER_RECORD_MAX];

	begin_session();
	size_t n = peer_write_sealed(&peer, PEER_DATA, hello, sizeof hello, sealed);
	for (size_t i = 0; i < n; i++) {
		sealed[i] ^= 0x10;
		fake_deliver(&board, sealed, n);
		CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
		sealed[i] ^= 0x10;
	}
	fake_deliver(&board, sealed, n);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), sizeof hello);
	end();
}

/* Freshness is judged by the time at which the datagram was read from the socket. */
static void a_message_has_the_time_at_which_it_was_read(void)
{
	begin_session();
	fake_pass_time(&board, 12345);
	CHECK(carries_both_ways());
	CHECK_EQ(dtls.read_at, board.now);
	uint32_t at = board.now;
	fake_pass_time(&board, 500);
	CHECK_EQ(dtls.read_at, at);
	end();
}

static void a_message_that_does_not_fit_is_dropped_whole(void)
{
	uint8_t big[300];

	begin_session();
	memset(big, 'x', sizeof big);
	peer_send(&peer, PEER_DATA, big, sizeof big);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), LK_ESPACE);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), LK_EAGAIN); /* the rest does not count as another message */
	peer_send(&peer, PEER_DATA, big, 257); /* one byte too long */
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), LK_ESPACE);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), LK_EAGAIN);
	peer_send(&peer, PEER_DATA, big, 4);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 1), LK_ESPACE);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 1), LK_EAGAIN);
	peer_send(&peer, PEER_DATA, big, sizeof big);
	peer_send(&peer, PEER_DATA, hello, sizeof hello); /* this one is kept */
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), LK_ESPACE);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), sizeof hello);
	peer_send(&peer, PEER_DATA, big, 256);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), 256);
	peer_send(&peer, PEER_DATA, big, 0);
	CHECK_EQ(lk_dtls_recv(&dtls, in, 256), LK_EAGAIN);
	CHECK(carries_both_ways());
	end();
}

static void an_encrypted_alert_ends_the_session(void)
{
	begin_session();
	peer_send(&peer, PEER_ALERT, (const uint8_t[]){1, 0}, 2);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_ECLOSED);
	end();
	begin_session();
	peer_send(&peer, PEER_ALERT, (const uint8_t[]){2, 80}, 2);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_ECLOSED);
	end();
}

/* After deep sleep the association continues: no close_notify was sent, no sequence number is used
 * twice, and a replay of an old record is dropped. */
static void the_session_continues_after_a_sleep(void)
{
	uint8_t state[LK_DTLS_STATE_MAX], old[PEER_RECORD_MAX];

	begin_session();
	CHECK(carries_both_ways());
	uint64_t number = peer.got_number;
	unsigned records = peer.records;
	size_t old_n = peer_write_sealed(&peer, PEER_DATA, again, sizeof again, old);
	fake_deliver(&board, old, old_n);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), sizeof again);
	int n = lk_dtls_save(&dtls, state, sizeof state);
	CHECK(n > 0 && !dtls.up);
	peer_process(&peer);
	CHECK_EQ(peer.records, records); /* no close_notify */
	CHECK_EQ(lk_dtls_resume(&dtls, &board.port, state, (size_t)n), 0);
	fake_deliver(&board, old, old_n);
	CHECK_EQ(lk_dtls_recv(&dtls, in, sizeof in), LK_EAGAIN);
	CHECK(carries_both_ways());
	CHECK(peer.got_number > number);
	lk_dtls_close(&dtls);
	peer_process(&peer);
	CHECK_EQ(peer.got_type, PEER_ALERT);
	end();
}

/* Without room for its state the session ends. The gateway notices by itself. */
static void without_room_for_its_state_the_session_ends_silently(void)
{
	uint8_t state[8];

	begin_session();
	unsigned sent = board.sent_total;
	CHECK_EQ(lk_dtls_save(&dtls, state, sizeof state), LK_ECLOSED);
	CHECK(!dtls.up && !dtls.configured);
	CHECK_EQ(board.sent_total, sent);
	end();
}

int main(void)
{
	two_with_the_same_key_exchange_messages();
	a_peer_with_another_key_is_refused();
	an_unencrypted_alert_ends_no_handshake();
	no_forged_record_beside_a_flight_ends_the_handshake();
	unencrypted_records_are_dropped_after_the_handshake();
	a_datagram_must_be_whole();
	a_record_without_content_is_ignored();
	each_record_of_a_datagram_is_a_message();
	the_shortest_message_is_one_byte();
	a_changed_record_is_dropped_and_the_session_stays();
	a_message_has_the_time_at_which_it_was_read();
	a_message_that_does_not_fit_is_dropped_whole();
	an_encrypted_alert_ends_the_session();
	the_session_continues_after_a_sleep();
	without_room_for_its_state_the_session_ends_silently();
	return check_end("dtls_session");
}
