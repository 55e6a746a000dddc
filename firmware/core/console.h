/*
 * The serial console by which a node is provisioned, fed byte by byte. It takes the lines of
 * `latchkey device add` (--format text) as they are, and wifi SSID PASSWORD (in double quotes what
 * has spaces; no password for an open network), show, save, erase, reboot, help. Somebody at the
 * cable can overwrite a secret or a password but never read one: they are echoed as '*' and not
 * printed in any answer.
 */
#ifndef LK_CONSOLE_H
#define LK_CONSOLE_H

#include "settings.h"

enum { LK_CONSOLE_LINE = 160 }; /* characters of the longest line */

/* The settings of one of the board's devices, as the commands change them. */
struct lk_draft {
	struct lk_settings settings; /* begin with a copy of what the node works with */
	const char *kind;            /* settings of another kind are refused */
	const struct lk_port *port;  /* with the flash that the device has for itself */
};

struct lk_console {
	const struct lk_port *port;
	struct lk_draft *const *drafts;
	size_t n;
	struct lk_draft *draft; /* the one that the commands change */
	uint8_t len;
	bool refused; /* the line is too long or has a byte that is not text: it is ignored */
	bool cr;      /* the last byte was CR: a LF after it ends no line of its own */
	char line[LK_CONSOLE_LINE + 1];
};

/* drafts are the board's devices, n of them: the commands change the first until "role KIND"
 * chooses another. */
void lk_console_init(
	struct lk_console *c, const struct lk_port *port, struct lk_draft *const *drafts, size_t n);

/* Takes a byte, and obeys the line that it ends. "save" writes the draft and "erase yes" removes
 * what was written, of all devices; both restart the board, as "reboot" does. */
void lk_console_take_byte(struct lk_console *c, uint8_t b);

#endif
