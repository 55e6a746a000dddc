/*
 * The world of a simulated node, the same on the host and in QEMU: lines at stdin say what lies on
 * the reader, which buttons are pressed and what goes wrong. Only simulated boards and tests use
 * it.
 *
 * A line that starts with '!' is the world's, at most LK_WORLD_LINE characters; every other line
 * goes, with its newline, to the node's serial console.
 *
 *	!card HEX      a card with that UID (4, 7 or 10 bytes) lies on the reader;  !card  takes it away
 *	!button 0|1    !contact 0|1    !tamper 0|1    !voltage MV    !rssi DBM
 *	!chip ok|deaf|dead|ones|stuck|mute    as mfrc522_model_break takes it
 *	!hang  !oom N  !rebind  !unaligned  !stat    are for the port to do: lk_world_feed returns them
 */
#ifndef LK_WORLD_H
#define LK_WORLD_H

#include "mfrc522_model.h"
#include "port.h"

enum { LK_WORLD_LINE = 200, LK_WORLD_CONSOLE = 1024 };

/* What the line that has just ended asks of the port. */
enum lk_world_ask {
	LK_WORLD_NOTHING,   /* the line is not over, was the console's, or is done already */
	LK_WORLD_HANG,      /* never call lk_app_step again; timer and watchdog go on */
	LK_WORLD_OOM,       /* the heap may hold world.number bytes from now on, 0: any */
	LK_WORLD_REBIND,    /* the next datagram leaves from another source port */
	LK_WORLD_UNALIGNED, /* load a word from an odd address */
	LK_WORLD_STAT,      /* print the stat line */
	LK_WORLD_BAD,       /* no such line: a test that says it is wrong, so stop loudly */
};

struct lk_world {
	bool input[3]; /* by enum lk_input */
	uint32_t voltage;
	int32_t rssi;
	uint32_t number; /* of !oom */
	struct mfrc522_model chip;
	/* the rest is the module's own */
	bool printed;
	uint8_t level;
	bool console_line, too_long;
	size_t len, head, count;
	char line[LK_WORLD_LINE + 1];
	uint8_t console[LK_WORLD_CONSOLE];
};

/* Nothing pressed, door and case shut, no card, 3300 mV, -60 dBm. */
void lk_world_init(struct lk_world *w);

/* How many bytes of stdin lk_world_feed takes now without losing any; read no more than that. */
size_t lk_world_room(const struct lk_world *w);

/* One byte of stdin. */
enum lk_world_ask lk_world_feed(struct lk_world *w, uint8_t c);

/* The next byte of the serial console, or -1; pending tells whether there is one, which ends a
 * wait. */
int lk_world_console_read(struct lk_world *w);
bool lk_world_console_pending(const struct lk_world *w);

/* Takes note of a call of port.output, or of the board's own timer (0, 0): true if stdout should
 * have a line of it, which is the first call, each pulse and each change. */
bool lk_world_output(struct lk_world *w, uint8_t level, uint32_t ms);

#endif
