/* Two associations over one socket: the one that is up goes on while the other makes its handshake,
 * and each gets what is its own. */
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

/* One step of the handshake beside; what it sends is taken by the gateway. */
static int step(void)
{
	int err = lk_dtls_handshake(&next);

	peer_take(&next_peer);
	return err;
}

/* The old association is up, and the new one has sent its first hello, which is answered. */
static void begin(void)
{
	int err = LK_EAGAIN;

	fake_init(&board);
	peer_init(&old_peer, &board, secret);
	peer_init(&next_peer, &board, secret);
	CHECK_EQ(lk_dtls_open(&old, &board.port, identity, secret), 0);
	for (int i = 0; i < 100 && err == LK_EAGAIN; i++) {
		err = lk_dtls_handshake(&old);
		peer_take(&old_peer);
		fake_pass(&board, 10);
	}
	CHECK(err == 0 && old.up);
	CHECK_EQ(lk_dtls_open(&next, &board.port, identity, secret), 0);
	lk_dtls_share(&next, &old);
	CHECK_EQ(step(), LK_EAGAIN);
	CHECK_EQ(board.inboxes, 1);
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

static bool both_ways(struct lk_dtls *d, struct dtls_peer *peer)
{
	unsigned records = peer->records;

	CHECK_EQ(lk_dtls_send(d, hello, sizeof hello), 0);
	peer_take(peer);
	peer_send(peer, PEER_DATA, again, sizeof again);
	return peer->records == records + 1 && peer->got_n == sizeof hello && received(d, again, sizeof again);
}

/* Whoever reads the socket, each datagram comes to whom it is for, with the time at which it was
 * read. */
static void each_gets_its_own(void)
{
	begin();
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* reads what is the handshake's */
	uint32_t read_at = board.now;
	CHECK_EQ(board.inboxes, 0);
	fake_pass(&board, 50);
	CHECK_EQ(step(), LK_EAGAIN); /* and that goes on by it */
	CHECK_EQ(next.read_at, read_at);
	CHECK_EQ(next_peer.hellos, 2);
	CHECK(board.inboxes > 0);

	peer_send(&old_peer, PEER_DATA, hello, sizeof hello); /* behind the gateway's flight of the handshake */
	fake_pass(&board, 50);
	for (int i = 0; i < 10 && board.inboxes > 0; i++)
		(void)step(); /* reads what is the session's */
	read_at = board.now;
	fake_pass(&board, 70);
	CHECK(received(&old, hello, sizeof hello));
	CHECK_EQ(old.read_at, read_at);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* once */
	for (int i = 0; i < 10 && !next.up; i++) {
		CHECK(both_ways(&old, &old_peer));
		(void)step();
		fake_pass(&board, 10);
	}
	CHECK(next.up && next_peer.up);
	end();
}

/* A node that takes the new association forgets the old one, without a goodbye to a gateway that
 * does not have it. */
static void the_new_one_takes_over(void)
{
	begin();
	for (int i = 0; i < 20 && !next.up; i++) {
		(void)step();
		fake_pass(&board, 10);
	}
	CHECK(next.up);
	unsigned sent = board.sent_total;
	lk_dtls_forget(&old);
	CHECK_EQ(board.sent_total, sent);
	CHECK(!old.up && !old.configured && next.beside == NULL && old.beside == NULL);
	CHECK(lk_dtls_send(&old, hello, sizeof hello) < 0);
	CHECK(both_ways(&next, &next_peer));
	lk_dtls_close(&old); /* twice is harmless */
	CHECK_EQ(board.sent_total, sent + 1);
	end();
}

/* When the handshake fails the session has the socket for itself again. */
static void the_old_one_goes_on_alone(void)
{
	begin();
	lk_dtls_close(&next);
	CHECK(old.beside == NULL && next.beside == NULL);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* nobody is left for the gateway's answer */
	CHECK_EQ(next.held_n, 0);
	CHECK(both_ways(&old, &old_peer));
	end();
}

/* What is forged in the clear, from the one side or the other, ends neither. */
static void nothing_in_the_clear_ends_either(void)
{
	uint8_t clear[PEER_RECORD_MAX], sealed[PEER_RECORD_MAX];

	begin();
	size_t n = peer_clear(&next_peer, PEER_ALERT, (const uint8_t[]){2, 40}, 2, clear);
	size_t m = peer_seal(&old_peer, PEER_DATA, again, sizeof again, sealed);
	sealed[m - 1] ^= 1;
	fake_deliver(&board, clear, n);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* reads the answer to the hello */
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN); /* and the alert */
	CHECK_EQ(board.inboxes, 0);
	for (int i = 0; i < 20 && !next.up; i++) {
		fake_deliver(&board, clear, n);
		fake_deliver(&board, sealed, m);
		CHECK(step() >= LK_EAGAIN);
		CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN);
		fake_pass(&board, 10);
	}
	CHECK(next.up);
	CHECK(both_ways(&old, &old_peer));
	lk_dtls_forget(&old);
	CHECK(both_ways(&next, &next_peer));
	end();
}

/* A hint is about the session that is up, whoever reads it. */
static void a_hint_is_for_the_one_that_is_up(void)
{
	static const uint8_t hint[] = {
		22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	begin();
	fake_deliver(&board, hint, sizeof hint);
	(void)step();
	CHECK(old.hinted && !next.hinted);
	end();
}

/* There is room for one datagram of the size that the gateway sends. A larger one is lost, as it
 * may be on its way too. */
static void what_is_kept_for_the_other_has_a_limit(void)
{
	enum { RECORD = 13 + 8 + 8 }; /* header, explicit nonce, tag */
	static const uint8_t long_text[LK_HELD_DATAGRAM] = {7, 7, 7};
	size_t fits = LK_HELD_DATAGRAM - RECORD;

	begin();
	(void)lk_dtls_handshake(&next); /* what this sends is lost, so nothing but the session's comes now */
	CHECK_EQ(board.inboxes, 0);
	peer_send(&old_peer, PEER_DATA, long_text, fits + 1);
	(void)lk_dtls_handshake(&next);
	CHECK_EQ(old.held_n, 0);
	CHECK_EQ(lk_dtls_recv(&old, in, sizeof in), LK_EAGAIN);
	peer_send(&old_peer, PEER_DATA, long_text, fits);
	(void)lk_dtls_handshake(&next);
	CHECK_EQ(old.held_n, LK_HELD_DATAGRAM);
	CHECK(received(&old, long_text, fits));
	CHECK_EQ(old.held_n, 0);

	peer_send(&old_peer, PEER_DATA, hello, sizeof hello); /* what is held when an association ends is gone */
	(void)lk_dtls_handshake(&next);
	CHECK(old.held_n > 0);
	lk_dtls_close(&old);
	CHECK_EQ(old.held_n, 0);
	old.held_n = 9; /* nor does an old one count when they begin to share */
	lk_dtls_share(&next, &old);
	CHECK_EQ(old.held_n, 0);
	end();
}

int main(void)
{
	each_gets_its_own();
	the_new_one_takes_over();
	the_old_one_goes_on_alone();
	nothing_in_the_clear_ends_either();
	a_hint_is_for_the_one_that_is_up();
	what_is_kept_for_the_other_has_a_limit();
	return check_end("dtls_beside");
}
