#include "finder.h"

#include <string.h>
#include <strings.h>

#include "err.h"

enum {
	ANSWERS_LATER = 500, /* ms after the question in which more answers are awaited */
	ANSWERS_FIRST = 1000, /* and the first one; also from one question to the next */
	LOOK_AGAIN = 50,
	MOST_DATAGRAMS = 8,        /* read in one step */
	MOST_WRITES = 8,           /* to flash in a boot: somebody may relay from many addresses */
	NO_HOSTS = 0xe0000000u,    /* from here on: groups, and all */
	KEPT = 4 + LK_DNS_NAME,    /* bytes in flash at most */
};

static const char key[] = "found";

static bool is_name(const char *host)
{
	return strchr(host, ':') == NULL && host[strspn(host, ".0123456789")] != '\0';
}

/* Tells whether a name is answered by the machine that has it, and not by a server (RFC 6762 §3). */
static bool is_local(const char *host)
{
	size_t n = strlen(host);

	n -= host[n - 1] == '.';
	return n > 6 && strncasecmp(host + n - 6, ".local", 6) == 0;
}

static bool is_refused(const struct lk_finder *f, uint32_t address)
{
	for (int i = 0; i < LK_FINDER_REFUSED; i++)
		if (f->refused[i] == address)
			return true;
	return false;
}

/* Adds an address. When there is no room, one that was refused before makes room. */
static void add(struct lk_finder *f, uint32_t address)
{
	uint32_t *room = NULL;

	for (uint32_t *a = f->found + LK_FINDER_FOUND; a-- > f->found;) {
		if (*a == address)
			return;
		if (*a == 0 || (room == NULL && is_refused(f, *a) && !is_refused(f, address)))
			room = a;
	}
	if (room != NULL && address >> 24 != 0 && address < NO_HOSTS)
		*room = address;
}

/* Finds the next address to try, those that were refused last. */
static uint32_t *find_next(struct lk_finder *f)
{
	uint32_t *best = NULL;

	for (uint32_t *a = f->found; a < f->found + LK_FINDER_FOUND; a++)
		if (*a != 0 && (best == NULL || (is_refused(f, *best) && !is_refused(f, *a))))
			best = a;
	return best;
}

static void write_text(char *text, uint32_t address)
{
	for (int i = 0; i < 4; i++, address <<= 8) {
		text = lk_write_number(text, (uint16_t)(address >> 24));
		*text++ = '.';
	}
	text[-1] = '\0';
}

void lk_finder_init(struct lk_finder *f, const struct lk_link *l)
{
	const char *host = l->settings->host;
	uint8_t b[KEPT];
	int n = l->port->kv_get(l->port->own, key, b, sizeof b);

	f->asked_at = lk_link_now(l) - ANSWERS_FIRST;
	if (n == (int)(4 + strlen(host)) && memcmp(b + 4, host, strlen(host)) == 0)
		memcpy(&f->last, b, sizeof f->last);
}

void lk_finder_keep(struct lk_finder *f, const struct lk_link *l)
{
	size_t n = strlen(l->settings->host);
	uint8_t b[KEPT];

	f->phase = LK_FINDER_LAST;
	memset(f->found, 0, sizeof f->found);
	for (int i = 0; i < LK_FINDER_REFUSED; i++)
		if (f->refused[i] == f->trying)
			f->refused[i] = 0;
	if (f->trying == 0 || f->trying == f->last)
		return;
	f->last = f->trying;
	if (f->writes >= MOST_WRITES)
		return;
	f->writes++;
	memcpy(b, &f->last, sizeof f->last);
	memcpy(b + 4, l->settings->host, n);
	/* If it cannot be written, the next boot asks for the name. */
	(void)l->port->kv_set(l->port->own, key, b, 4 + n);
}

bool lk_finder_refuse(struct lk_finder *f)
{
	if (f->trying != 0 && !is_refused(f, f->trying))
		f->refused[f->refusals++ % LK_FINDER_REFUSED] = f->trying;
	if (f->trying != 0 && (f->phase == LK_FINDER_ASK || find_next(f) != NULL))
		return true;
	f->phase = LK_FINDER_LAST;
	return false;
}

/* Sends the question. LK_ENONE where the board looks names up itself. */
static int ask(struct lk_finder *f, struct lk_link *l)
{
	const struct lk_port *p = l->port;
	const char *host = l->settings->host;
	bool local = is_local(host);
	int err = p->udp_ask(p->own, host, local);

	if (err < 0)
		return err;
	f->question_n =
		(uint8_t)lk_dns_ask(f->question, host, (uint16_t)lk_link_jitter(l, UINT16_MAX), !local);
	f->asked_at = lk_link_now(l);
	f->phase = LK_FINDER_LISTEN;
	lk_link_log(l, "asking for the gateway's name", local);
	return p->udp_send(p->own, f->question, f->question_n) < 0 ? LK_EIO : 0;
}

/* Reads answers. Returns the ms until it is to be called again, 0 when it has all. */
static uint32_t listen(struct lk_finder *f, struct lk_link *l)
{
	uint32_t gone = lk_link_now(l) - f->asked_at;
	struct lk_dns d;
	int n = 0;

	for (int i = 0; i < MOST_DATAGRAMS; i++) {
		uint32_t address;

		n = l->port->udp_recv(l->port->own, l->in, sizeof l->in);
		if (n <= 0)
			break;
		if (lk_dns_begin(&d, l->in, (size_t)n, f->question, f->question_n))
			while ((address = lk_dns_next(&d)) != 0)
				add(f, address);
	}
	bool some = find_next(f) != NULL;

	/* One server answers once. On the local network anybody answers, and the first may lie. */
	if (gone >= ANSWERS_FIRST || (some && (gone >= ANSWERS_LATER || f->question[2] != 0)))
		return 0;
	return n > 0 ? 1 : LOOK_AGAIN;
}

int lk_finder_step(struct lk_finder *f, struct lk_link *l, const char **host, uint32_t *due)
{
	uint32_t now = lk_link_now(l);
	int err;

	*host = l->settings->host;
	f->trying = 0;
	if (!is_name(*host))
		return 0;
	*due = LOOK_AGAIN;
	if (f->phase == LK_FINDER_LAST) {
		f->phase = LK_FINDER_ASK;
		f->trying = f->last;
	}
	if (f->trying == 0 && f->phase == LK_FINDER_ASK) {
		if (now - f->asked_at < ANSWERS_FIRST)
			return LK_EAGAIN;
		if ((err = ask(f, l)) < 0) {
			f->phase = LK_FINDER_LAST;
			return err == LK_ENONE ? 0 : err;
		}
		return LK_EAGAIN;
	}
	if (f->phase == LK_FINDER_LISTEN) {
		if ((*due = listen(f, l)) > 0)
			return LK_EAGAIN;
		f->phase = LK_FINDER_TRYING;
	}
	if (f->phase == LK_FINDER_TRYING) {
		uint32_t *next = find_next(f);

		if (next == NULL) {
			f->phase = LK_FINDER_LAST;
			return LK_ENONE;
		}
		f->trying = *next;
		*next = 0;
	}
	write_text(f->text, f->trying);
	*host = f->text;
	return 0;
}
