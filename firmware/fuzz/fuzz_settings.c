/* Flash with any content: settings that load obey the rules, and load unchanged after a save. The
 * same holds for values that are set. */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "fake_port.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[LK_SETTINGS_KEYS] = {
	"identity", "secret", "gateway", "kind", "device", "targets", "ssid", "password"};

static struct fake_port board;

static void must(bool so)
{
	if (!so) {
		abort();
	}
}

static bool is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static void check(const struct lk_settings *s)
{
	char gateway[LK_GATEWAY_TEXT];
	must(is_terminated(s->identity, sizeof s->identity) && is_terminated(s->secret, sizeof s->secret) &&
		 is_terminated(s->host, sizeof s->host));
	must(is_terminated(s->kind, sizeof s->kind) && is_terminated(s->device, sizeof s->device) &&
		 is_terminated(s->target, sizeof s->target));
	must(is_terminated(s->ssid, sizeof s->ssid) && is_terminated(s->password, sizeof s->password));
	must((s->identity[0] == '\0' || strlen(s->identity) == 13) &&
		 (s->secret[0] == '\0' || strlen(s->secret) == 26));
	must((s->host[0] == '\0') == (s->port == 0));
	must(strpbrk(s->host, "[] %/\\\"") == NULL && strpbrk(s->device, "/ ,") == NULL &&
		 strpbrk(s->target, "/ ,") == NULL);
	lk_settings_write_gateway(s, gateway);
	must(is_terminated(gateway, sizeof gateway));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lk_settings s, again;
	char text[128];
	fake_init(&board);
	/* Each value is one byte for its key, two bytes for its length, and its bytes. */
	while (size >= 3) {
		const char *key = keys[data[0] % LK_SETTINGS_KEYS];
		size_t n = (size_t)(data[1] << 8 | data[2]) % 600;
		data += 3;
		size -= 3;
		n = n < size ? n : size;
		fake_kv_put(&board, key, data, n);
		memset(&s, 0, sizeof s);
		memcpy(text, data, n < sizeof text ? n : sizeof text - 1);
		text[n < sizeof text ? n : sizeof text - 1] = '\0';
		(void)lk_settings_set(&s, key, text);
		check(&s);
		data += n;
		size -= n;
	}
	int err = lk_settings_load(&s, &board.port);
	check(&s);
	must(err == 0 || err == LK_ENONE || err == LK_EMALFORMED);
	must((err == LK_EMALFORMED) == (s.bad != NULL));
	must(err != 0 || lk_settings_find_missing(&s) == NULL);
	must(lk_settings_save(&s, &board.port) == 0);
	err = lk_settings_load(&again, &board.port);
	must(err == (lk_settings_find_missing(&s) == NULL ? 0 : LK_ENONE));
	s.bad = NULL;
	must(memcmp(&s, &again, sizeof s) == 0);
	return 0;
}
