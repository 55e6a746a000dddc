/* Which values each setting may have. */
#include "check.h"
#include "err.h"
#include "settings.h"

#define SECRET_A "zk7rqh2m9xw4c0td8vpnj5bsy6"

static const struct {
	const char *key, *value;
	bool good;
} rules[] = {
	{"identity", "lk-0123456789", true},
	{"identity", "lk-012345678", false},
	{"identity", "lk-01234567890", false},
	{"identity", "LK-0123456789", false},
	{"identity", "lk-012345678i", false},
	{"identity", "lk-012345678l", false},
	{"identity", "lk-012345678o", false},
	{"identity", "lk-012345678u", false},
	{"identity", "lk-012345678A", false},
	{"identity", "xx-0123456789", false},
	{"identity", "0123456789abc", false},
	{"identity", "lkx0123456789", false},
	{"identity", "lk-i123456789", false},
	{"secret", "uk7rqh2m9xw4c0td8vpnj5bsy6", false},
	{"secret", SECRET_A, true},
	{"secret", "zk7rqh2m9xw4c0td8vpnj5bsy", false},
	{"secret", SECRET_A "0", false},
	{"secret", "zk7rqh2m9xw4c0td8vpnj5bsyu", false},
	{"secret", "zk7rqh2m9xw4c0td8vpnj5bsY6", false},
	{"kind", "reader", true},
	{"kind", "switch", true},
	{"kind", "sensor", true},
	{"kind", "overlong", false},
	{"kind", "Lock", false},
	{"device", "a", true},
	{"device", "i", true},
	{"device", "3_x.y-z", true},
	{"device", "-a", false},
	{"device", ".a", false},
	{"device", "a b", false},
	{"device", "a/b", false},
	{"device", "A", false},
	{"device", "0123456789012345678901234567890123456789012345678901234567890123", true},
	{"device", "01234567890123456789012345678901234567890123456789012345678901234", false},
	{"targets", "a, b", true},
	{"targets", "a,b", true},
	{"targets", ",a", false},
	{"targets", "a b", false},
	{"targets", "../scan", false},
	{"targets", "01234567890123456789012345678901234567890123456789012345678901234,b", false},
	{"ssid", "a", true},
	{"ssid", "caf\xc3\xa9 \"wifi\"", true},
	{"ssid", "12345678901234567890123456789012", true},
	{"ssid", "123456789012345678901234567890123", false},
	{"ssid", "a\tb", false},
	{"ssid", "a\x7f", false},
	{"password", "1234567", false},
	{"password", "12345678", true},
	{"password", "1234567\xe9", false},
	{"password", "1234567\n", false},
	{"password", "1234567\x80", false},
	{"password", "012345678901234567890123456789012345678901234567890123456789012", true},
	{"password", "not hexadecimal 01234567890123456789012345678901234567890123456", true},
	{"password", "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABC.", false},
	{"password", "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD", true},
	{"password", "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCg", false},
	{"password", "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCDE", false},
};

static void each_value_has_its_rules(void)
{
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		struct lk_settings s, before;
		memset(&s, 0, sizeof s);
		before = s;
		int err = lk_settings_set(&s, rules[i].key, rules[i].value);
		CHECK_EQ(err, rules[i].good ? 0 : LK_EMALFORMED);
		if ((err == 0) != rules[i].good) {
			fprintf(stderr, "  %s %s\n", rules[i].key, rules[i].value);
		}
		CHECK(rules[i].good || memcmp(&s, &before, sizeof s) == 0);
	}
	struct lk_settings s;
	memset(&s, 0, sizeof s);
	CHECK_EQ(lk_settings_set(&s, "counter", "1"), LK_ENONE);
	CHECK_EQ(lk_settings_set(&s, "", ""), LK_ENONE);
}

static void a_gateway_is_a_host_and_a_port(void)
{
	static const struct {
		const char *value, *host;
		int port; /* 0: refused */
	} cases[] = {
		{"192.0.2.1:5684", "192.0.2.1", 5684},
		{"gw.example:1", "gw.example", 1},
		{"gw:65535", "gw", 65535},
		{"GW.Example.:5684", "GW.Example.", 5684},
		{"gw", "gw", 5684},
		{"[2001:db8::1]:5684", "2001:db8::1", 5684},
		{"[::1]", "::1", 5684},
		{"[::ffff:192.0.2.1]:7", "::ffff:192.0.2.1", 7},
		{"[gw.example]:5684", "gw.example", 5684},
		{"a-b.c:9", "a-b.c", 9},
		{"g:10000", "g", 10000},
		{"gw:10203", "gw", 10203},
		{"-", NULL, 0},
		{"-:1", NULL, 0},
		{"gw:0", NULL, 0},
		{"gw:65536", NULL, 0},
		{"gw:4294967297", NULL, 0},
		{"gw:05684", NULL, 0},
		{"gw:+1", NULL, 0},
		{"gw:", NULL, 0},
		{"gw:coaps", NULL, 0},
		{"gw:1 ", NULL, 0},
		{":5684", NULL, 0},
		{"2001:db8::1", NULL, 0},
		{"2001:db8::1:5684", NULL, 0},
		{"[::1", NULL, 0},
		{"[::1]5684", NULL, 0},
		{"[]:5684", NULL, 0},
		{"[fe80::1%eth0]:5684", NULL, 0},
		{"::1", NULL, 0},
		{"-gw:1", NULL, 0},
		{"gw-:1", NULL, 0},
		{"g..w:1", NULL, 0},
		{".gw:1", NULL, 0},
		{".", NULL, 0},
		{"g w:1", NULL, 0},
		{"$(id):1", NULL, 0},
		{"gw.-a:1", NULL, 0},
		{"[..]:1", NULL, 0},
		{"0123456789012345678901234567890123456789012345678901234567890123:1", NULL, 0},
		{"[gw", NULL, 0},
		{"gw]:1", NULL, 0},
		{"[", NULL, 0},
		{"[:", NULL, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct lk_settings s, again;
		char text[LK_GATEWAY_TEXT];
		memset(&s, 0, sizeof s);
		memset(&again, 0, sizeof again);
		int err = lk_settings_set(&s, "gateway", cases[i].value);
		CHECK_EQ(err, cases[i].port > 0 ? 0 : LK_EMALFORMED);
		if ((err == 0) != (cases[i].port > 0)) {
			fprintf(stderr, "  %s\n", cases[i].value);
		}
		CHECK_EQ(s.port, cases[i].port);
		CHECK(strcmp(s.host, cases[i].host == NULL ? "" : cases[i].host) == 0);
		lk_settings_write_gateway(&s, text);
		CHECK_EQ(lk_settings_set(&again, "gateway", text), 0);
		CHECK(memcmp(&s, &again, sizeof s) == 0);
	}
}

int main(void)
{
	each_value_has_its_rules();
	a_gateway_is_a_host_and_a_port();
	return check_end("settings_values");
}
