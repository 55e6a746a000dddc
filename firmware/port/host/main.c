#include <stdio.h>
#include <string.h>

#include "app.h"
#include "port_host.h"
#include "status.h"

int main(int argc, char **argv)
{
	static struct lk_app app;
	static struct lk_port ports[LK_MOST_NODES];
	bool show_led = argc > 1 && strcmp(argv[1], "-v") == 0;
	int left = argc - 1 - show_led;

	if (left > 1 || lk_host_start(ports, left == 1 ? argv[argc - 1] : NULL, show_led) != 0) {
		fprintf(stderr, "usage: %s [-v] [power|reset|watchdog|wake]\n", argv[0]);
		return LK_HOST_FAILED;
	}
	for (int i = 1; lk_image[i].unit != NULL; i++) {
		ports[i] = ports[0];
		lk_host_add_node(&ports[i], lk_image[i].role->kind);
	}
	lk_app_init(&app, lk_image, ports);
	for (;;) {
		lk_app_step(&app);
	}
}
