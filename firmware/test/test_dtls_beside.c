/* Two associations over one socket: the established one works while the other makes its handshake,
 * and each gets its own datagrams. */
#include "check.h"
#include "dtls.h"
#include "dtls_peer.h"
#include "err.h"
#include "fake_port.h"

static const char identity[] = "lk-0123456789", secret[] = "0123456789abcdefghjkmnpqrs";
static const uint8_t hello[] = "hello", again[] = "again";

static struct fake_port board;
static struct lk_dtls old, next;
static struct dtls_peer old_peer, next_peer; /* the gateway's two ends */
static uint8_t in[LK_DATAGRAM_MAX];

/* Makes one step of the new handshake, and lets the gateway answer it. */
static int step(void)
{
	int err = lk_dtls_handshake(&next);

	peer_process(&next_peer);
	return err;
}

/* Establishes the old association, and lets the new one send its first ClientHello. The gateway has
 * answered it. */
static void begin(void)
{
	int err = LK_EAGAIN;

	fake_init(&board);
	peer_init(&old_peer, &board, secret);
	peer_init(&next_peer, &board, secret);
	CHECK_EQ(lk_dtls_open(&old, &board.port, identity, secret), 0);
	for (int i = 0; i < 100 && err == LK_EAGAIN; i++) {
		err = lk_dtls_handshake(&old);
		peer_process(&old_peer);
		fake_pass_time(&board, 10);
	}
	CHECK(err == 0 && old.up);
	CHECK_EQ(lk_dtls_open(&next, &board.port, identity, secret), 0);
	lk_dtls_share(&next, &old);
	CHECK_EQ(step(), LK_EAGAIN);
	CHECK_EQ(board.inbox_n, 1);
}

static void end(void)
{
	lk_dtls_close(&next);
	lk_dtls_close(&old);
	peer_free(&old_peer);
	peer_free(&next_peer);
	CHECK_EQ(fake_heap.allocs, 0);
}

static bool received(struct lk_dtls *d, const uint8_t *want, size_t n)
{
	memset(in, 0, sizeof in);
	return lk_dtls_recv(d, in, sizeof in) == (int)n && memcmp(in, want, n) == 0;
}

static bool carries_both_ways(struct lk_dtls *d, struct dtls_peer *peer)
{
	unsigned records = peer->records;

	CHECK_EQ(lk_dtls_send(d, hello, sizeof hello), 0);
	peer_process(peer);
	peer_send(peer, PEER_DATA, again, sizeof again);
	return peer->records == records + 1 && peer->got_n == sizeof hello && received(d, again, sizeof again);
}

/* Whichever association reads the socket, each datagram reaches the one that it is for, with the
 * time at which it was read. */
static void each_gets_its_own_datagrams(void)
{
	begin();
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* reads a datagram of the handshake */
	uint32_t read_at = board.now;
	CHECK_EQ(board.inbox_n, 0);
	fake_pass_time(&board, 50);
	CHECK_EQ(step(), LK_EAGAIN); /* which the handshake then uses */
	CHECK_EQ(next.read_at, read_at);
	CHECK_EQ(next_peer.hellos, 2);
	CHECK(board.inbox_n > 0);

	peer_send(&old_peer, PEER_DATA, hello, sizeof hello); /* after the flight of the handshake */
	fake_pass_time(&board, 50);
	for (int i = 0; i < 10 && board.inbox_n > 0; i++)
		(void)step(); /* reads a datagram of the session */
	read_at = board.now;
	fake_pass_time(&board, 70);
	CHECK(received(&old, hello, sizeof hello));
	CHECK_EQ(old.read_at, read_at);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* not a second time */
	for (int i = 0; i < 10 && !next.up; i++) {
		CHECK(carries_both_ways(&old, &old_peer));
		(void)step();
		fake_pass_time(&board, 10);
	}
	CHECK(next.up && next_peer.up);
	end();
}

/* When the new association takes over, the node forgets the old one. It sends no close_notify: the
 * gateway does not have that association any more. */
static void the_new_association_takes_over(void)
{
	begin();
	for (int i = 0; i < 20 && !next.up; i++) {
		(void)step();
		fake_pass_time(&board, 10);
	}
	CHECK(next.up);
	unsigned sent = board.sent_total;
	lk_dtls_forget(&old);
	CHECK_EQ(board.sent_total, sent);
	CHECK(!old.up && !old.configured && next.beside == NULL && old.beside == NULL);
	CHECK(lk_dtls_send(&old, hello, sizeof hello) < 0);
	CHECK(carries_both_ways(&next, &next_peer));
	lk_dtls_close(&old); /* twice is harmless */
	CHECK_EQ(board.sent_total, sent + 1);
	end();
}

/* After a failed handshake the session has the socket to itself again. */
static void after_a_failed_handshake_the_session_goes_on(void)
{
	begin();
	lk_dtls_close(&next);
	CHECK(old.beside == NULL && next.beside == NULL);
	/* the gateway's answer is for the closed handshake */
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN);
	CHECK_EQ(next.held_n, 0);
	CHECK(carries_both_ways(&old, &old_peer));
	end();
}

/* No forged unencrypted record ends either of them, whichever reads it. */
static void unencrypted_records_end_neither(void)
{
	uint8_t clear[PEER_RECORD_MAX], sealed[PEER_RECORD_MAX];

	begin();
	size_t n = peer_write_clear(&next_peer, PEER_ALERT, (const uint8_t[]){2, 40}, 2, clear);
	size_t m = peer_write_sealed(&old_peer, PEER_DATA, again, sizeof again, sealed);
	sealed[m - 1] ^= 1;
	fake_deliver(&board, clear, n);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* reads the answer to the ClientHello */
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* and the alert */
	CHECK_EQ(board.inbox_n, 0);
	for (int i = 0; i < 20 && !next.up; i++) {
		fake_deliver(&board, clear, n);
		fake_deliver(&board, sealed, m);
		CHECK(step() >= LK_EAGAIN);
		CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN);
		fake_pass_time(&board, 10);
	}
	CHECK(next.up);
	CHECK(carries_both_ways(&old, &old_peer));
	lk_dtls_forget(&old);
	CHECK(carries_both_ways(&next, &next_peer));
	end();
}

/* A hint is about the established session, whichever association reads it. */
static void a_hint_is_for_the_established_session(void)
{
	static const uint8_t hint[] = {
		22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	begin();
	fake_deliver(&board, hint, sizeof hint);
	(void)step();
	CHECK(old.hinted && !next.hinted);
	end();
}

/* There is room for one datagram as large as the gateway sends. A larger one is dropped, as it may
 * be in the network. */
static void what_is_held_for_the_other_association_has_a_limit(void)
{
	enum { RECORD = 13 + 8 + 8 }; /* header, explicit nonce, tag */
	static const uint8_t long_text[LK_HELD_DATAGRAM] = {7, 7, 7};
	size_t fits = LK_HELD_DATAGRAM - RECORD;

	begin();
	/* its message is not answered, so only the session's datagrams arrive now */
	(void)lk_dtls_handshake(&next);
	CHECK_EQ(board.inbox_n, 0);
	peer_send(&old_peer, PEER_DATA, long_text, fits + 1);
	(void)lk_dtls_handshake(&next);
	CHECK_EQ(old.held_n, 0);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN);
	peer_send(&old_peer, PEER_DATA, long_text, fits);
	(void)lk_dtls_handshake(&next);
	CHECK_EQ(old.held_n, LK_HELD_DATAGRAM);
	CHECK(received(&old, long_text, fits));
	CHECK_EQ(old.held_n, 0);

	/* a held datagram is dropped when its association ends */
	peer_send(&old_peer, PEER_DATA, hello, sizeof hello);
	(void)lk_dtls_handshake(&next);
	CHECK(old.held_n > 0);
	lk_dtls_close(&old);
	CHECK_EQ(old.held_n, 0);
	old.held_n = 9; /* and when two associations begin to share the socket */
	lk_dtls_share(&next, &old);
	CHECK_EQ(old.held_n, 0);
	end();
}

int main(void)
{
	each_gets_its_own_datagrams();
	the_new_association_takes_over();
	after_a_failed_handshake_the_session_goes_on();
	unencrypted_records_end_neither();
	a_hint_is_for_the_established_session();
	what_is_held_for_the_other_association_has_a_limit();
	return check_end("dtls_beside");
}
