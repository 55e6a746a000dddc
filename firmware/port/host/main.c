#include <stdio.h>
#include <string.h>

#include "app.h"
#include "port_host.h"

int main(int argc, char **argv)
{
	static struct lk_app app;
	static struct lk_port port;
	bool show_led = argc > 1 && strcmp(argv[1], "-v") == 0;
	int left = argc - 1 - show_led;

	if (left > 1 || lk_host_start(&port, left == 1 ? argv[argc - 1] : NULL, show_led) != 0) {
		fprintf(stderr, "usage: %s [-v] [power|reset|watchdog|wake]\n", argv[0]);
		return LK_HOST_FAILED;
	}
	lk_app_init(&app, &port);
	for (;;) {
		lk_app_step(&app);
	}
}
