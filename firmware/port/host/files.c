#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "status.h"

enum { KEY_MAX = 15, PATH = 4 + 16 + KEY_MAX };

static const char *const boot_words[] = {"power", "reset", "watchdog", "wake"}; /* by enum lk_boot */

/* Makes kv/KEY, or kv/NODE-KEY, of a key that holds nothing but small letters, digits, '-' and
 * '_'. */
static int key_path(const char *node, const char *key, char path[static PATH])
{
	size_t n = strlen(key);

	if (n == 0 || n > KEY_MAX || strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_") != n) {
		return LK_ERANGE;
	}
	return snprintf(path, PATH, "kv/%s%s%s", node, *node ? "-" : "", key) < PATH ? 0 : LK_ERANGE;
}

int lk_host_kv_get(const char *node, const char *key, uint8_t *b, size_t cap)
{
	char path[PATH];
	struct stat st;
	int fd, r = key_path(node, key, path);

	if (r != 0) {
		return r;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return errno == ENOENT ? 0 : LK_EIO;
	}
	if (fstat(fd, &st) != 0) {
		r = LK_EIO;
	} else if (st.st_size > INT_MAX || (size_t)st.st_size > cap) {
		r = LK_ESPACE;
	} else {
		r = read(fd, b, (size_t)st.st_size) == st.st_size ? (int)st.st_size : LK_EIO;
	}
	close(fd);
	return r;
}

/* Makes changes of names in kv/ durable. */
static int sync_folder(void)
{
	int fd = open("kv", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0) {
		return LK_EIO;
	}
	r = fsync(fd) == 0 ? 0 : LK_EIO;
	close(fd);
	return r;
}

int lk_host_kv_set(const char *node, const char *key, const uint8_t *b, size_t n)
{
	static const char fresh[] = "kv/.new"; /* no key has a dot */
	char path[PATH];
	int fd, r = key_path(node, key, path);

	if (r != 0) {
		return r;
	}
	if (mkdir("kv", 0700) != 0 && errno != EEXIST) {
		return LK_EIO;
	}
	if (n == 0) {
		return unlink(path) != 0 && errno != ENOENT ? LK_EIO : sync_folder();
	}
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		return LK_EIO;
	}
	r = write(fd, b, n) == (ssize_t)n && fsync(fd) == 0 ? 0 : LK_EIO;
	if (close(fd) != 0 || r != 0 || rename(fresh, path) != 0) {
		return LK_EIO;
	}
	return sync_folder();
}

int lk_host_rtc_get(void *ctx, uint8_t *b, size_t n)
{
	int fd;
	ssize_t got = 0;

	(void)ctx;
	if (n > LK_RTC_MAX || n % 4 != 0) {
		return LK_ERANGE;
	}
	fd = open("rtc.bin", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, b, n);
		close(fd);
	}
	/* After power-on such memory holds random bytes. */
	for (size_t i = got > 0 ? (size_t)got : 0; i < n; i++) {
		b[i] = (uint8_t)(0xa5 + i);
	}
	return 0;
}

int lk_host_rtc_set(void *ctx, const uint8_t *b, size_t n)
{
	int fd, r;

	(void)ctx;
	if (n > LK_RTC_MAX || n % 4 != 0) {
		return LK_ERANGE;
	}
	fd = open("rtc.bin", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		return LK_EIO;
	}
	r = write(fd, b, n) == (ssize_t)n ? 0 : LK_EIO;
	return close(fd) == 0 ? r : LK_EIO;
}

void lk_host_leave_boot(enum lk_boot why)
{
	FILE *f = fopen("boot", "we");

	if (f == NULL || fprintf(f, "%s\n", boot_words[why]) < 0 || fclose(f) != 0) {
		perror("boot");
		_exit(LK_HOST_FAILED);
	}
}

int lk_host_boot_reason(const char *boot)
{
	char word[16] = "power\n";
	FILE *f = boot == NULL ? fopen("boot", "re") : NULL;

	if (f != NULL) {
		if (fgets(word, sizeof word, f) == NULL) {
			word[0] = 0;
		}
		fclose(f);
	}
	if (boot == NULL) {
		word[strcspn(word, "\n")] = 0;
		boot = word;
	}
	unlink("boot");
	for (int i = 0; i < (int)(sizeof boot_words / sizeof *boot_words); i++) {
		if (strcmp(boot, boot_words[i]) == 0) {
			return i;
		}
	}
	return LK_ERANGE;
}
