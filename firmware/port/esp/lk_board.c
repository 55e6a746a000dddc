#include "lk_board.h"

#include <stdlib.h>

#include "freertos/FreeRTOS.h"

#include "lk_clock.h"
#include "lk_flash.h"
#include "lk_gpio.h"
#include "lk_net.h"
#include "lk_random.h"
#include "lk_serial.h"

void *lk_port_calloc(size_t n, size_t size) { return calloc(n, size); }

void lk_port_free(void *p) { free(p); }

void lk_esp_add_node(struct lk_port *port, const char *name)
{
	struct lk_esp *e = port->ctx;
	struct lk_esp_node *n = &e->nodes[e->count++];

	n->name = name;
	n->sock = -1;
	lk_esp_flash_open(n);
	port->own = n;
}

void lk_esp_init(struct lk_esp *e, struct lk_port *port, const struct lk_esp_pins *pins)
{
	e->pins = pins;
	port->ctx = e;
	lk_esp_serial_init(port);
	lk_esp_clock_init(port);
	lk_esp_flash_init(port);
	lk_esp_random_init(port);
	lk_esp_net_init(port);
	lk_esp_gpio_init(e, port);
	lk_esp_add_node(port, "");
}
