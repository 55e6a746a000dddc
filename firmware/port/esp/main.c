#include "app.h"
#include "lk_board.h"

void app_main(void);

void app_main(void)
{
	static struct lk_port ports[LK_MOST_NODES];
	static struct lk_app app;

	lk_board_init(ports);
	for (int i = 1; lk_image[i].unit != NULL; i++) {
		ports[i] = ports[0];
		lk_esp_add_node(&ports[i], lk_image[i].role->kind);
	}
	lk_app_init(&app, lk_image, ports);
	for (;;)
		lk_app_step(&app);
}
