/* What the light shows, in steps of 100 ms. */
#include "check.h"
#include "fake_port.h"
#include "led.h"

static struct fake_port board;
static struct lk_led l;

/* Draws the next n steps: '#' lit, '.' dark. */
static const char *draw(size_t n)
{
	static char picture[64];

	for (size_t i = 0; i < n; i++) {
		uint32_t due = lk_led_poll(&l, &board.port, board.now);
		picture[i] = board.led ? '#' : '.';
		CHECK(due > 0 && due <= 100);
		fake_pass_time(&board, 100);
	}
	picture[n] = 0;
	return picture;
}

#define DRAWS(n, want) CHECK(strcmp(draw(n), want) == 0)

static void begin(enum lk_led_sign base)
{
	fake_init(&board);
	memset(&l, 0, sizeof l);
	l.began = board.now;
	lk_led_set_base(&l, base);
}

int main(void)
{
	begin(LK_LED_BARE);
	DRAWS(40, "#.#.................#.#.................");
	begin(LK_LED_CONNECTING);
	DRAWS(6, "#.#.#.");
	begin(LK_LED_ONLINE);
	DRAWS(32, "#.............................#.");
	begin(LK_LED_FAULT);
	DRAWS(14, "######.#....##");

	begin(LK_LED_ONLINE);
	(void)draw(3);
	lk_led_show_once(&l, LK_LED_GRANTED, board.now);
	DRAWS(13, "##########.#.");
	lk_led_show_once(&l, LK_LED_DENIED, board.now);
	DRAWS(14, "##..##..##..#.");
	lk_led_show_once(&l, LK_LED_RETRY, board.now);
	DRAWS(14, "#.#.#.#.#.#.#.");
	begin(LK_LED_ONLINE);
	(void)draw(1);
	lk_led_show_once(&l, LK_LED_GRANTED, board.now);
	DRAWS(43, "##########.#.............................#."); /* then the base sign from its beginning */

	begin(LK_LED_ONLINE); /* at any time it says how long it is until the next step */
	fake_pass_time(&board, 37);
	lk_led_show_once(&l, LK_LED_DENIED, board.now);
	fake_pass_time(&board, 30);
	CHECK_EQ(lk_led_poll(&l, &board.port, board.now), 70);
	return check_end("led");
}
