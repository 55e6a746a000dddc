#include "app.h"
#include "port_esp8266.h"

void app_main(void);

void app_main(void)
{
	static struct lk_port port;
	static struct lk_app app; /* about 4 KB: too much for the stack */

	lk_port_esp8266_init(&port);
	lk_app_init(&app, &port);
	for (;;)
		lk_app_step(&app);
}
