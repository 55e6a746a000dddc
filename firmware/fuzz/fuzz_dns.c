/*
 * An even first byte: the rest is an answer to a question of ours; 2 fills in the part of it that
 * repeats the question. It is read to its end, within its bytes. An odd one: the rest is the host of
 * a node's settings, and the question for it fits and is answered by itself.
 */
#include <stdlib.h>
#include <string.h>

#include "dns.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void read_answer(uint8_t *b, size_t n, bool ours)
{
	uint8_t q[LK_DNS_QUESTION];
	size_t q_n = lk_dns_ask(q, "gw.local", 0x1234, false);
	struct lk_dns d;
	unsigned found = 0;

	if (ours && n >= q_n) {
		uint8_t counts[6];

		memcpy(counts, b + 6, sizeof counts);
		memcpy(b, q, q_n);
		memcpy(b + 6, counts, sizeof counts);
		b[2] |= 0x80;
	}
	bool begun = lk_dns_begin(&d, b, n, q, q_n);
	must(begun || !ours || n < q_n);
	while (begun && lk_dns_next(&d) != 0) {
		found++;
		must(d.at <= n);
	}
	must(!begun || found <= n / 12);
}

static void ask(const uint8_t *b, size_t n)
{
	char host[80];
	uint8_t q[LK_DNS_QUESTION], answer[LK_DNS_QUESTION];
	struct lk_settings s = {0};
	struct lk_dns d;

	n = n < sizeof host - 1 ? n : sizeof host - 1;
	memcpy(host, b, n);
	host[n] = '\0';
	if (lk_settings_set(&s, "gateway", host) < 0 || s.host[0] == '\0' || strchr(s.host, ':') != NULL)
		return;
	size_t q_n = lk_dns_ask(q, s.host, 7, true);
	must(q_n <= sizeof q && q[q_n - 5] == 0);
	memcpy(answer, q, q_n);
	must(!lk_dns_begin(&d, answer, q_n, q, q_n));
	answer[2] |= 0x80;
	must(lk_dns_begin(&d, answer, q_n, q, q_n) && lk_dns_next(&d) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	uint8_t *exact = malloc(size - 1); /* the sanitizer sees each byte past its end */
	must(exact != NULL);
	memcpy(exact, data + 1, size - 1);
	if (data[0] & 1)
		ask(exact, size - 1);
	else
		read_answer(exact, size - 1, data[0] == 2);
	free(exact);
	return 0;
}
