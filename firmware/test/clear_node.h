/*
 * A node without encryption (see clear_dtls.h) on a fake board, for tests that play its gateway.
 * Include it once in a program: it holds the node.
 */
#ifndef LK_CLEAR_NODE_H
#define LK_CLEAR_NODE_H

#include "act.h"
#include "check.h"
#include "clear_dtls.h"
#include "fake_port.h"
#include "node.h"
#include "write_answer.h"

static const uint8_t uid[] = {4, 1, 2, 3, 4, 5, 6};

static struct fake_port board;
static struct lk_settings settings;
static struct lk_counter counter;
static struct lk_actuator actuator;
static const struct lk_served served = {&lk_act, &actuator};
static struct lk_node node;

/* Starts the node on a new board. A lock serves commands, a reader serves nothing. */
static inline void init_node(bool lock)
{
	fake_init(&board);
	memset(&settings, 0, sizeof settings);
	memcpy(settings.host, "gw", 3);
	memset(&counter, 0, sizeof counter);
	(void)lk_counter_load(&counter, &board.port);
	lk_actuator_init(&actuator, &board.port, false);
	lk_node_init(&node, &board.port, &settings, &counter, lock ? &served : NULL);
}

static inline bool logged(const char *text) { return strstr(board.logged, text) != NULL; }

#endif
