/*
 * A file of the messages that a gateway sent to a node: the seeds of fuzz_node. With LK_TRACE=DIR
 * in the environment the tests that play a gateway write one file for each boot: a byte with the
 * kind of the node, and for each message its length, the time since the message before in units of
 * 8 ms, a byte of the flags below, and its bytes.
 *
 * Message IDs and tokens are random, and only the node knows its Echo. So the flags say which of
 * them the message took from the node, and a program that replays the trace puts those of its own
 * node in their place.
 */
#ifndef LK_TRACE_H
#define LK_TRACE_H

enum {
	/* The first byte; 0 is a reader. */
	TRACE_LOCK = 1,
	TRACE_LAMP = 2,
	TRACE_SWITCH = 4,

	/* The flags of a message. */
	TRACE_IDS = 1,   /* its message ID and token are those of the node's newest request */
	TRACE_ECHO = 2,  /* its Echo is the newest that the node issued */
	TRACE_TAP = 4,   /* before it a card was read, or the button was pressed */
	TRACE_EXIT = 8,  /* before it the exit button of a lock was pressed */
	TRACE_DOOR = 16, /* before it the door and the case were opened and closed */

	TRACE_MOST = 480 /* bytes of a file */
};

#endif
