/*
 * What a gateway said to a node, as a file: the seeds of fuzz_node. With LK_TRACE=DIR in the
 * environment the tests that play a gateway write one for each boot: a byte that says what the node
 * is, and for each message its length, the time before it in 8 ms, how it came, and its bytes.
 *
 * Message IDs and tokens are random, and an Echo is known only to its node. So a message says which
 * of them it had from the node, and whoever plays the trace again puts those of his node there.
 */
#ifndef LK_TRACE_H
#define LK_TRACE_H

enum {
	/* The first byte; a reader is 0. */
	TRACE_LOCK = 1,
	TRACE_LAMP = 2,
	TRACE_SWITCH = 4,

	/* How a message came. */
	TRACE_IDS = 1,   /* its message ID and token are those of the node's newest request */
	TRACE_ECHO = 2,  /* its Echo is the newest that the node issued */
	TRACE_TAP = 4,   /* before it a card was read, or the button pressed */
	TRACE_EXIT = 8,  /* likewise the exit button of a lock */
	TRACE_DOOR = 16, /* likewise the door and the case were opened and closed */

	TRACE_MOST = 480 /* bytes of a file */
};

#endif
