#include <string.h>
#include "err.h"
#include "files.h"
#include "simcall.h"

enum { KEY_MAX = 15, NODE_MAX = 15, SEAL = 4 };

uint8_t rt_page[2048] __attribute__((aligned(2048)));

int rt_file_open(const char *name, int flags)
{
	return simcall(SIM_OPEN, (uint32_t)name, (uint32_t)flags, 0600);
}

static void file_close(int fd)
{
	simcall(SIM_CLOSE, (uint32_t)fd, 0, 0);
}

int rt_file_read(const char *name)
{
	int fd = rt_file_open(name, SIM_RDONLY), n;

	if (fd < 0) {
		return LK_ENONE;
	}
	n = sim_read(fd, rt_page, sizeof rt_page);
	file_close(fd);
	return n < 0 ? LK_EIO : n;
}

int rt_file_write(const char *name, int how, const void *b, size_t n)
{
	int fd = rt_file_open(name, SIM_WRONLY | SIM_CREAT | how), w;

	if (fd < 0) {
		return LK_EIO;
	}
	w = n == 0 ? 0 : sim_write(fd, b, n);
	file_close(fd);
	return w == (int)n ? 0 : LK_EIO;
}

/*
 * A key is a file of that name in the folder kv, empty or missing if there is no such key.
 * Semihosting cannot rename, so a value is first written with a checksum to a second file, KEY.new,
 * then to KEY; then KEY.new is emptied. A process killed in between leaves a KEY.new. If that is
 * whole it is the value; otherwise it is ignored.
 */
struct names {
	char key[3 + NODE_MAX + 1 + KEY_MAX + 1];     /* the folder, the node and '-' */
	char new[3 + NODE_MAX + 1 + KEY_MAX + 4 + 1]; /* and ".new" */
};

static int key_names(struct names *f, const char *node, const char *key)
{
	size_t n = strlen(key), at = strlen(node);

	if (n == 0 || n > KEY_MAX || at > NODE_MAX) {
		return LK_ERANGE;
	}
	memcpy(f->key, "kv/", 3);
	memcpy(f->key + 3, node, at);
	at += 3;
	if (at > 3) {
		f->key[at++] = '-';
	}
	memcpy(f->key + at, key, n + 1);
	memcpy(f->new, f->key, at + n);
	memcpy(f->new + at + n, ".new", 5);
	return 0;
}

static void seal(uint8_t *out, size_t n)
{
	uint32_t h = 2166136261; /* FNV-1a over rt_page */

	for (size_t i = 0; i < n; i++) {
		h = (h ^ rt_page[i]) * 16777619;
	}
	for (int i = 0; i < SEAL; i++) {
		out[i] = (uint8_t)(h >> 8 * i);
	}
}

/* From KEY.new to KEY: rt_page holds the value. */
static int settle(const struct names *f, size_t n)
{
	int err = rt_file_write(f->key, SIM_TRUNC | SIM_DSYNC, rt_page, n);

	return err != 0 ? err : rt_file_write(f->new, SIM_TRUNC | SIM_DSYNC, rt_page, 0);
}

/* Completes an rt_key_set in whose middle the process was killed. */
static int recover(const struct names *f)
{
	uint8_t sum[SEAL];
	int n = rt_file_read(f->new);

	if (n < SEAL) {
		return 0;
	}
	seal(sum, (size_t)n - SEAL);
	return memcmp(sum, rt_page + n - SEAL, SEAL) == 0 ? settle(f, (size_t)n - SEAL) : 0;
}

int rt_key_get(const char *node, const char *key, uint8_t *b, size_t cap)
{
	struct names f;
	int n = key_names(&f, node, key);

	if (n != 0 || (n = recover(&f)) != 0) {
		return n;
	}
	n = rt_file_read(f.key);
	if (n <= 0) {
		return n == LK_ENONE ? 0 : n;
	}
	if ((size_t)n > cap) {
		return LK_ESPACE;
	}
	memcpy(b, rt_page, (size_t)n);
	return n;
}

int rt_key_set(const char *node, const char *key, const uint8_t *b, size_t n)
{
	struct names f;
	int err = key_names(&f, node, key);

	if (err == 0 && n > sizeof rt_page - SEAL) {
		err = LK_ERANGE;
	}
	if (err != 0 || (err = recover(&f)) != 0) {
		return err;
	}
	memcpy(rt_page, b, n);
	seal(rt_page + n, n);
	err = rt_file_write(f.new, SIM_TRUNC | SIM_DSYNC, rt_page, n + SEAL);
	return err != 0 ? err : settle(&f, n);
}
