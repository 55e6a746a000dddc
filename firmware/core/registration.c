#include "registration.h"

#include <string.h>

#include "err.h"

void lk_registration_begin_session(struct lk_registration *r, uint32_t now)
{
	r->renew = now;
	r->logged = false;
}

int lk_registration_send(struct lk_registration *r, struct lk_link *l, const struct lk_served *s)
{
	struct lk_coap_out o;
	char lt[] = "lt=00000";
	char ep[3 + sizeof l->settings->device] = "ep=";

	/* An update leaves unchanged what it does not name, so only a new registration says what the
	 * node is (RFC 9176 §5.3.1). */
	bool links = s->resource && !r->location[0];
	size_t cap;
	int len = 0;

	lk_exchange_begin(&l->out, &o, LK_COAP_POST, r->location[0] ? r->location : "rd");
	if (links)
		lk_coap_option_uint(&o, LK_COAP_CONTENT_FORMAT, LK_FORMAT_LINKS);
	for (uint32_t i = sizeof lt - 2, v = r->lifetime; i >= 3; i--, v /= 10)
		lt[i] = (char)('0' + v % 10);
	lk_coap_option(&o, LK_COAP_URI_QUERY, (const uint8_t *)lt, sizeof lt - 1);
	if (l->settings->device[0]) {
		memcpy(ep + 3, l->settings->device, sizeof l->settings->device);
		lk_coap_option(&o, LK_COAP_URI_QUERY, (const uint8_t *)ep, strlen(ep));
	}
	if (links) {
		uint8_t *b = lk_coap_payload(&o, &cap);
		len = s->resource->write_links(s->actuator, b, cap);
	}
	return lk_link_send_request(l, &o, len, LK_FOR_REGISTRATION);
}

/* Reads the path that an answer gives. False if there is none, or one that is too long. */
static bool read_location(const struct lk_coap *m, char location[LK_LOCATION_MAX + 1])
{
	struct lk_coap_option o = {0};
	size_t len = 0;
	bool whole = true;

	memset(location, 0, LK_LOCATION_MAX + 1);
	while (lk_coap_next(m, &o)) {
		if (o.number != LK_COAP_LOCATION_PATH)
			continue;
		if (o.len + 1 > LK_LOCATION_MAX - len || memchr(o.value, 0, o.len)) {
			whole = false;
			continue;
		}
		if (len > 0)
			location[len++] = '/';
		memcpy(location + len, o.value, o.len);
		len += o.len;
	}
	return whole && len > 0;
}

int lk_registration_take_answer(struct lk_registration *r, struct lk_link *l, const struct lk_coap *m)
{
	char location[LK_LOCATION_MAX + 1];

	if (lk_link_is_busy(m->code)) {
		lk_link_hold_requests(l);
		return 0;
	}
	if (m->code == LK_COAP_CREATED && read_location(m, location)) {
		memcpy(r->location, location, sizeof r->location);
	} else if (m->code == LK_COAP_NOT_FOUND && r->location[0]) {
		r->location[0] = 0; /* the gateway forgot us: r->renew is still due, and registers anew */
	} else if (m->code != LK_COAP_CHANGED || !r->location[0]) {
		lk_link_log(l, "registration refused, code", m->code);
		return LK_ENONE;
	}
	if (r->location[0]) {
		uint32_t ms = r->lifetime * 1000;
		if (!r->logged)
			lk_link_log(l, "registered", r->lifetime);
		r->logged = true;
		r->renew = lk_link_now(l) + ms / 3 - lk_link_jitter(l, ms / 30);
	}
	return 0;
}
