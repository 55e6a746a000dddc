/* Settings in flash: how they are loaded, saved and unset, and what a power cut leaves of them. */
#include "check.h"
#include "err.h"
#include "fake_port.h"
#include "settings.h"

static struct fake_port board;

static const char *const keys[LK_SETTINGS_KEYS] = {
	"identity", "secret", "gateway", "kind", "device", "targets", "ssid", "password"};

#define SECRET_A "zk7rqh2m9xw4c0td8vpnj5bsy6"
#define SECRET_B "0123456789abcdefghjkmnpqrs"

/* In the order of the keys. */
static const char *const old[LK_SETTINGS_KEYS] = {
	"lk-0123456789", SECRET_A, "192.0.2.1:5684", "lock", "front-lock", "front-door", "home", "correct horse",
};
static const char *const fresh[LK_SETTINGS_KEYS] = {
	"lk-zyxwvtsrqp", SECRET_B, "[2001:db8::1]:1", "lock", "back-lock", "back-door", "shed", "battery staple",
};

static void put_in_flash(const char *const *values)
{
	fake_init(&board);
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		fake_kv_put_text(&board, keys[i], values[i]);
	}
}

static bool flash_has(const char *key, const char *want)
{
	const char *have = fake_kv(&board, key);
	return strcmp(have == NULL ? "" : have, want) == 0;
}

static bool settings_are(const struct lk_settings *s, const char *const *values)
{
	char gateway[LK_GATEWAY_TEXT];
	lk_settings_write_gateway(s, gateway);
	const char *have[LK_SETTINGS_KEYS] = {
		s->identity, s->secret, gateway, s->kind, s->device, s->target, s->ssid, s->password};
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		if (strcmp(have[i], values[i]) != 0) {
			return false;
		}
	}
	return true;
}

static bool first_missing_is(const struct lk_settings *s, const char *key)
{
	const char *missing = lk_settings_find_missing(s);
	return missing != NULL && strcmp(missing, key) == 0;
}

static void values_of_the_partition_generator_are_loaded(void)
{
	struct lk_settings s;
	put_in_flash(old);
	fake_kv_put_text(&board, "targets", "front-door,back.door,3_x");
	fake_kv_put(&board, "ssid", NULL, 0);
	fake_kv_put(&board, "password", NULL, 0);
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	CHECK(strcmp(s.identity, "lk-0123456789") == 0 && strcmp(s.secret, SECRET_A) == 0);
	CHECK(strcmp(s.host, "192.0.2.1") == 0 && s.port == 5684);
	CHECK(strcmp(s.kind, "lock") == 0 && strcmp(s.device, "front-lock") == 0 &&
		  strcmp(s.target, "front-door") == 0);
	CHECK(s.ssid[0] == '\0' && s.password[0] == '\0' && s.bad == NULL);
	CHECK(lk_settings_fits(&s, "lock") && !lk_settings_fits(&s, "reader"));
	CHECK_EQ(board.kv_writes, 0);
}

static void a_nul_at_the_end_of_a_value_in_flash_is_ignored(void)
{
	struct lk_settings s;
	put_in_flash(old);
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		fake_kv_put(&board, keys[i], old[i], strlen(old[i]) + 1);
	}
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	CHECK(settings_are(&s, old));
	fake_kv_put(&board, "device", "a\0b", 3);
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_EMALFORMED);
}

static void the_longest_values_fit(void)
{
	struct lk_settings s, again;
	char device[65], host[64], gateway[80], password[65], targets[LK_TARGETS_MAX + 2];
	memset(device, 'd', 64);
	device[64] = '\0';
	memset(host, 'h', 63);
	host[63] = '\0';
	snprintf(gateway, sizeof gateway, "%s:65535", host);
	memset(password, 'A', 64);
	password[64] = '\0';
	const char *const longest[LK_SETTINGS_KEYS] = {
		"lk-zzzzzzzzzz",
		SECRET_A,
		gateway,
		"switch",
		device,
		device,
		"12345678901234567890123456789012",
		password,
	};
	put_in_flash(longest);
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	CHECK(settings_are(&s, longest));
	fake_init(&board);
	CHECK_EQ(lk_settings_save(&s, &board.port), 0);
	CHECK_EQ(lk_settings_load(&again, &board.port), 0);
	CHECK(settings_are(&again, longest));

	memset(targets, 't', sizeof targets - 1);
	for (size_t i = 50; i < sizeof targets - 1; i += 50) {
		targets[i] = ',';
	}
	targets[LK_TARGETS_MAX + 1] = '\0';
	fake_kv_put_text(&board, "targets", targets);
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_EMALFORMED);
	CHECK(s.bad != NULL && strcmp(s.bad, "targets") == 0);
	targets[LK_TARGETS_MAX] = '\0';
	fake_kv_put_text(&board, "targets", targets);
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	CHECK_EQ(strlen(s.target), 50);
}

static void without_key_gateway_or_kind_a_node_is_not_provisioned(void)
{
	struct lk_settings s;
	fake_init(&board);
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_ENONE);
	CHECK(first_missing_is(&s, "identity"));
	for (int i = 0; i < 4; i++) {
		put_in_flash(old);
		fake_kv_put(&board, keys[i], NULL, 0);
		CHECK_EQ(lk_settings_load(&s, &board.port), LK_ENONE);
		CHECK(first_missing_is(&s, keys[i]));
		CHECK(strcmp(s.device, "front-lock") == 0);
	}
}

static void a_switch_needs_a_target_and_a_lock_does_not(void)
{
	struct lk_settings s;
	put_in_flash(old);
	fake_kv_put(&board, "targets", NULL, 0);
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	fake_kv_put_text(&board, "kind", "switch");
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_ENONE);
	CHECK(first_missing_is(&s, "targets"));
}

static void an_invalid_stored_value_is_named_and_not_used(void)
{
	struct lk_settings s;
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		put_in_flash(old);
		fake_kv_put_text(&board, keys[i], "\x01");
		CHECK_EQ(lk_settings_load(&s, &board.port), LK_EMALFORMED);
		CHECK(s.bad != NULL && strcmp(s.bad, keys[i]) == 0);
		char gateway[LK_GATEWAY_TEXT];
		lk_settings_write_gateway(&s, gateway);
		const char *have[LK_SETTINGS_KEYS] = {
			s.identity, s.secret, gateway, s.kind, s.device, s.target, s.ssid, s.password};
		for (int k = 0; k < LK_SETTINGS_KEYS; k++) {
			CHECK(strcmp(have[k], k == i ? "" : old[k]) == 0);
		}
	}
}

static void flash_that_cannot_be_read_is_not_taken_for_empty(void)
{
	struct lk_settings s;
	put_in_flash(old);
	board.kv_get_fails = true;
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_EIO);
	CHECK(s.bad == NULL); /* no value was read, so none can be named */
}

static void a_new_identity_unsets_the_secret_of_the_old_one(void)
{
	struct lk_settings s;
	char zeros[sizeof s.secret] = {0};
	put_in_flash(old);
	CHECK_EQ(lk_settings_load(&s, &board.port), 0);
	CHECK_EQ(lk_settings_set(&s, "identity", old[0]), 0);
	CHECK(strcmp(s.secret, SECRET_A) == 0);
	CHECK_EQ(lk_settings_set(&s, "identity", fresh[0]), 0);
	CHECK(memcmp(s.secret, zeros, sizeof zeros) == 0);
}

static void an_unset_value_leaves_no_bytes_behind(void)
{
	struct lk_settings s, empty;
	memset(&s, 0, sizeof s);
	memset(&empty, 0, sizeof empty);
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		CHECK_EQ(lk_settings_set(&s, keys[i], old[i]), 0);
	}
	CHECK_EQ(lk_settings_set(&s, "password", "battery9"), 0);
	CHECK_EQ(strcmp(s.password + 9, ""), 0);
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		CHECK_EQ(lk_settings_set(&s, keys[i], ""), 0);
	}
	CHECK(memcmp(&s, &empty, sizeof s) == 0);
	memset(&s, 0xff, sizeof s);
	lk_settings_wipe(&s);
	CHECK(memcmp(&s, &empty, sizeof s) == 0);
}

static void make_settings(struct lk_settings *s, const char *const *values)
{
	memset(s, 0, sizeof *s);
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		CHECK_EQ(lk_settings_set(s, keys[i], values[i]), 0);
	}
}

static void what_is_saved_loads_unchanged(void)
{
	struct lk_settings s, again;
	make_settings(&s, fresh);
	put_in_flash(old);
	CHECK_EQ(lk_settings_save(&s, &board.port), 0);
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		CHECK(flash_has(keys[i], fresh[i]));
	}
	CHECK_EQ(lk_settings_load(&again, &board.port), 0);
	CHECK(settings_are(&again, fresh));
}

static void a_power_cut_leaves_old_incomplete_or_new_settings(void)
{
	struct lk_settings s, again;
	unsigned olds = 0, incompletes = 0, news = 0;
	make_settings(&s, fresh);
	for (int cut = 0; cut <= 9; cut++) {
		put_in_flash(old);
		board.kv_power = cut;
		int err = lk_settings_save(&s, &board.port);
		CHECK_EQ(err, cut < 9 ? LK_EIO : 0);
		fake_reboot(&board, LK_BOOT_POWER);
		err = lk_settings_load(&again, &board.port);
		if (err == 0 && settings_are(&again, old)) {
			olds++;
		} else if (err == 0 && settings_are(&again, fresh)) {
			news++;
		} else {
			CHECK_EQ(err, LK_ENONE);
			CHECK(first_missing_is(&again, "secret") && again.secret[0] == '\0');
			incompletes++;
		}
		CHECK_EQ(lk_settings_save(&s, &board.port), 0);
		CHECK_EQ(lk_settings_load(&again, &board.port), 0);
		CHECK(settings_are(&again, fresh));
	}
	CHECK_EQ(olds, 1);
	CHECK_EQ(incompletes, 8);
	CHECK_EQ(news, 1);
}

static void a_power_cut_while_erasing_leaves_no_key(void)
{
	struct lk_settings s, again;
	lk_settings_wipe(&s);
	for (int cut = 0; cut <= 9; cut++) {
		put_in_flash(old);
		fake_kv_put(&board, "counter", "\0\0\0\0\0\0\0\x41", 8);
		board.kv_power = cut;
		(void)lk_settings_save(&s, &board.port);
		fake_reboot(&board, LK_BOOT_POWER);
		int err = lk_settings_load(&again, &board.port);
		CHECK_EQ(err, cut == 0 ? 0 : LK_ENONE);
		CHECK(cut == 0 || again.secret[0] == '\0');
		CHECK(fake_kv(&board, "counter") != NULL);
	}
	for (int i = 0; i < LK_SETTINGS_KEYS; i++) {
		CHECK(fake_kv(&board, keys[i]) == NULL);
	}
}

#define LK_DEVICE "built-in"
#define LK_KIND "switch"
#define LK_TARGETS "hall,stairs"
#define LK_GATEWAY "[2001:db8::1]:5684"
#define LK_IDENTITY "lk-zzzzzzzzzz"
#define LK_SECRET SECRET_B

static void a_built_in_key_is_used_when_flash_has_none(void)
{
	static const struct lk_bundle bundle = LK_BUNDLE("", ""), wifi = LK_BUNDLE("home", "12345678"),
								  bad = LK_BUNDLE("home", "short");
	struct lk_settings s, before;
	fake_init(&board);
	fake_kv_put_text(&board, "ssid", "shed");
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_ENONE);
	CHECK_EQ(lk_settings_seed(&s, &bundle), 0);
	CHECK(strcmp(s.identity, LK_IDENTITY) == 0 && strcmp(s.secret, SECRET_B) == 0 &&
		  strcmp(s.host, "2001:db8::1") == 0 && s.port == 5684);
	CHECK(
		strcmp(s.kind, "switch") == 0 && strcmp(s.device, "built-in") == 0 && strcmp(s.target, "hall") == 0);
	CHECK(strcmp(s.ssid, "shed") == 0);
	lk_settings_wipe(&s);
	CHECK_EQ(lk_settings_seed(&s, &wifi), 0);
	CHECK(strcmp(s.ssid, "home") == 0 && strcmp(s.password, "12345678") == 0);
	lk_settings_wipe(&s);
	CHECK_EQ(lk_settings_seed(&s, &bad), LK_EMALFORMED);
	CHECK(s.identity[0] == '\0' && s.secret[0] == '\0');
	fake_kv_put_text(&board, "device", "not valid");
	CHECK_EQ(lk_settings_load(&s, &board.port), LK_EMALFORMED);
	CHECK_EQ(lk_settings_seed(&s, &bundle), 0);
	/* the invalid value of flash is not in use */
	CHECK(s.bad == NULL && strcmp(s.device, "built-in") == 0);
	lk_settings_wipe(&s);
	CHECK_EQ(lk_settings_set(&s, "gateway", "g"), 0);
	CHECK_EQ(lk_settings_seed(&s, &bundle), LK_ENONE);

	for (int i = 0; i < 3; i++) {
		fake_init(&board);
		fake_kv_put_text(&board, keys[i], old[i]);
		CHECK_EQ(lk_settings_load(&s, &board.port), LK_ENONE);
		before = s;
		CHECK_EQ(lk_settings_seed(&s, &bundle), LK_ENONE);
		CHECK(memcmp(&s, &before, sizeof s) == 0);
	}
}

int main(void)
{
	values_of_the_partition_generator_are_loaded();
	a_nul_at_the_end_of_a_value_in_flash_is_ignored();
	the_longest_values_fit();
	without_key_gateway_or_kind_a_node_is_not_provisioned();
	a_switch_needs_a_target_and_a_lock_does_not();
	an_invalid_stored_value_is_named_and_not_used();
	flash_that_cannot_be_read_is_not_taken_for_empty();
	a_new_identity_unsets_the_secret_of_the_old_one();
	an_unset_value_leaves_no_bytes_behind();
	what_is_saved_loads_unchanged();
	a_power_cut_leaves_old_incomplete_or_new_settings();
	a_power_cut_while_erasing_leaves_no_key();
	a_built_in_key_is_used_when_flash_has_none();
	return check_end("settings");
}
