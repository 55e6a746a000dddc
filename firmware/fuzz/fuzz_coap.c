/* Any bytes as a message: one that parses can be encoded again with the same meaning, in no more
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "coap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t b[70000];
	struct lk_coap m, again;
	struct lk_coap_option o = {0}, p = {0};
	struct lk_coap_out out;
	size_t cap, options = 0;

	if (lk_coap_parse(&m, data, size) < 0)
		return 0;
	lk_coap_begin(&out, b, sizeof b, m.type, m.code, m.mid, m.token, m.token_len);
	while (lk_coap_next(&m, &o)) {
		if (o.value < data || o.value + o.len > data + size)
			abort();
		lk_coap_option(&out, o.number, o.value, o.len);
		(void)lk_coap_uint(&o);
		options++;
	}
	uint8_t *payload = lk_coap_payload(&out, &cap);
	if (m.payload_len > cap)
		return 0;
	if (m.payload_len > 0)
		memcpy(payload, m.payload, m.payload_len);
	int n = lk_coap_end(&out, (int)m.payload_len);
	if (n < 0 || (size_t)n > size || lk_coap_parse(&again, b, (size_t)n) < 0)
		abort();
	memset(&o, 0, sizeof o);
	while (lk_coap_next(&m, &o)) {
		if (!lk_coap_next(&again, &p) || p.number != o.number || p.len != o.len ||
			memcmp(p.value, o.value, o.len) != 0)
			abort();
		options--;
	}
	if (options != 0 || lk_coap_next(&again, &p) || again.payload_len != m.payload_len)
		abort();
	return 0;
}
