/* A node's registration with the gateway (RFC 9176), and its renewal before the lifetime ends. */
#ifndef LK_REGISTRATION_H
#define LK_REGISTRATION_H

#include "resource.h"

enum {
	LK_LOCATION_MAX = 24,       /* characters of the registration's path */
	LK_LIFETIME = 90,           /* s a registration holds; it is renewed every third of it */
	LK_LIFETIME_ASLEEP = 14400, /* s for a node that sleeps and wakes once an hour */
};

struct lk_registration {
	char location[LK_LOCATION_MAX + 1]; /* "" if there is none */
	bool logged;       /* it was made or renewed in this association */
	uint32_t renew;    /* when to renew it */
	uint32_t lifetime; /* s */
};

/* A new association: the registration is due at once. */
void lk_registration_begin_session(struct lk_registration *r, uint32_t now);

/* Registers, or renews the registration. LK_ECLOSED as lk_link_send. */
int lk_registration_send(struct lk_registration *r, struct lk_link *l, const struct lk_served *s);

/* Takes the answer. LK_ENONE if the gateway refuses: the association is of no use then. */
int lk_registration_take_answer(struct lk_registration *r, struct lk_link *l, const struct lk_coap *m);

#endif
