/*
 * A node in QEMU: its arguments, and why it boots.
 *
 * Arguments, in any order (QEMU: -semihosting-config enable=on,arg=NAME,arg=…; the first is the
 * program's name):
 *	clock=FD     a timerfd that expires each millisecond. Without it the clock is /proc/uptime,
 *	             which goes in steps of 10 ms: enough to play with, but the age in a scan is then
 *	             off by as much, and a gateway may rightly call it stale at first
 *	sockets=N    there are N sockets from fd 3 on, instead of 4
 *	verbose      led lines too
 *	power, reset, watchdog or wake: why it boots, instead of what the file "boot" says
 */
#include <string.h>
#include "app.h"
#include "files.h"
#include "nodes.h"
#include "port_qemu.h"
#include "rt.h"
#include "simcall.h"

static struct lk_app app;

static _Noreturn void refuse(int argument)
{
	struct rt_line l;

	rt_line_begin(&l);
	rt_line_text(&l, " no such argument");
	rt_line_number(&l, argument);
	rt_line_end(&l);
	rt_exit(2);
}

static int small_number(const char *s)
{
	int v = 0;

	while (*s >= '0' && *s <= '9' && v < 1000) {
		v = v * 10 + (*s++ - '0');
	}
	return v;
}

static const char *const boot_words[] = {"power", "reset", "watchdog", "wake"}; /* by enum lk_boot */

static bool boot_word(struct lk_qemu_options *o, const char *s)
{
	for (int i = 0; i < 4; i++) {
		if (strncmp(s, boot_words[i], strlen(boot_words[i])) == 0) {
			o->boot = (enum lk_boot)i;
			return true;
		}
	}
	return false;
}

/* Reads how the process before ended, which is why the node boots unless an argument says
 * otherwise, and resets that for the next process. */
static void boot_file(struct lk_qemu_options *o)
{
	int n = rt_file_read("boot");

	if (n > 0) {
		rt_page[n < (int)sizeof rt_page ? n : n - 1] = '\0';
		boot_word(o, (const char *)rt_page);
		rt_file_write("boot", SIM_TRUNC, boot_words[0], strlen(boot_words[0]));
	}
}

static void arguments(struct lk_qemu_options *o)
{
	char **argv = (char **)(void *)rt_page;
	int argc = simcall(SIM_ARGC, 0, 0, 0);

	if (argc < 1 || simcall(SIM_ARGV_SIZE, 0, 0, 0) > (int)sizeof rt_page) {
		return;
	}
	simcall(SIM_ARGV, (uint32_t)rt_page, 0, 0);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "clock=", 6) == 0) {
			o->clock = small_number(argv[i] + 6);
		} else if (strncmp(argv[i], "sockets=", 8) == 0) {
			o->sockets = small_number(argv[i] + 8);
		} else if (strcmp(argv[i], "verbose") == 0) {
			o->verbose = true;
		} else if (!boot_word(o, argv[i])) {
			refuse(i);
		}
	}
}

int main(void)
{
	static struct lk_port ports[LK_MOST_NODES];
	struct lk_qemu_options o = {.sockets = 4, .clock = -1};

	boot_file(&o);
	arguments(&o);
	if (o.boot != LK_BOOT_WAKE && rt_file_read("rtc.bin") > 0) {
		rt_file_write("rtc.bin", SIM_TRUNC, rt_page, 0);
	}
	lk_qemu_start(ports, &o);
	for (int i = 1; lk_image[i].unit != NULL; i++) {
		ports[i] = ports[0];
		nodes_add(&ports[i], lk_image[i].role->kind);
	}
	lk_app_init(&app, lk_image, ports);
	for (;;) {
		lk_app_step(&app);
	}
}
