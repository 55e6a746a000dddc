#include "lk_net.h"

#include <string.h>
#include <sys/time.h>

#include "freertos/FreeRTOS.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_wifi.h"
#include "freertos/task.h"
#include "lwip/dns.h"
#include "lwip/sockets.h"
#include "sdkconfig.h"

#ifdef CONFIG_IDF_TARGET_ESP8266
#include "tcpip_adapter.h"
#endif

#include "err.h"
#include "lk_clock.h"
#include "lk_serial.h"

enum {
	SLICE = 20,          /* ms between two looks at the serial line */
	REJOIN_EVERY = 1000, /* ms; a wrong password must not become a stream of tries */
	DNS_PORT = 53,
	MDNS_PORT = 5353,
};

#define MDNS_GROUP 0xe00000fbu /* 224.0.0.251 */

/* ---- WiFi: a station, and never an access point ---- */

static void try_to_connect(struct lk_esp *e) { atomic_store(&e->apart, esp_wifi_connect() != ESP_OK); }

/* One timer that never stops. If an event started it again, its own callback, which may just be
 * ending, could stop it. */
static void each_second(void *arg)
{
	struct lk_esp *e = arg;

	if (atomic_load(&e->apart))
		try_to_connect(e);
}

static void on_event(void *arg, esp_event_base_t base, int32_t id, void *data)
{
	struct lk_esp *e = arg;

	(void)data;
	if (base == IP_EVENT && id == IP_EVENT_STA_GOT_IP) {
		atomic_store(&e->joined, true);
	} else if (base == IP_EVENT && id == IP_EVENT_STA_LOST_IP) {
		atomic_store(&e->joined, false);
	} else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_START) {
		try_to_connect(e);
	} else if (base == WIFI_EVENT && id == WIFI_EVENT_STA_DISCONNECTED) {
		atomic_store(&e->joined, false);
		atomic_store(&e->apart, true);
	}
}

static esp_err_t start_station(struct lk_esp *e)
{
	wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
	const esp_timer_create_args_t timer = {
		.callback = each_second, .arg = e, .dispatch_method = ESP_TIMER_TASK, .name = "rejoin"};
	esp_err_t err;

	if ((err = esp_netif_init()) != ESP_OK || (err = esp_event_loop_create_default()) != ESP_OK)
		return err;
#ifndef CONFIG_IDF_TARGET_ESP8266
	if (esp_netif_create_default_wifi_sta() == NULL)
		return ESP_ERR_NO_MEM;
#endif
	init.nvs_enable = 0; /* the password is in our namespace, and once is enough */
	if ((err = esp_timer_create(&timer, &e->every_second)) != ESP_OK ||
		(err = esp_wifi_init(&init)) != ESP_OK)
		return err;
	if ((err = esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, e)) != ESP_OK ||
	    (err = esp_event_handler_register(IP_EVENT, ESP_EVENT_ANY_ID, on_event, e)) != ESP_OK)
		return err;
	if ((err = esp_wifi_set_storage(WIFI_STORAGE_RAM)) != ESP_OK ||
		(err = esp_wifi_set_mode(WIFI_MODE_STA)) != ESP_OK)
		return err;
	return esp_timer_start_periodic(e->every_second, REJOIN_EVERY * 1000u);
}

static int net_join(void *ctx, const char *ssid, const char *password)
{
	struct lk_esp *e = ctx;
	wifi_config_t c;
	size_t ssid_len = strlen(ssid), password_len = strlen(password);

	memset(&c, 0, sizeof c);
	/* Neither is a C string where it fills its field. */
	if (ssid_len == 0 || ssid_len > sizeof c.sta.ssid || password_len > sizeof c.sta.password)
		return LK_ERANGE;
	memcpy(c.sta.ssid, ssid, ssid_len);
	memcpy(c.sta.password, password, password_len);
	/* Without this the node would also join an open network of the same name. */
	c.sta.threshold.authmode = password_len > 0 ? WIFI_AUTH_WPA2_PSK : WIFI_AUTH_OPEN;
	c.sta.pmf_cfg.capable = true;

	bool first = !e->radio;
	esp_err_t err = first ? start_station(e) : ESP_OK;
	if (err == ESP_OK)
		err = esp_wifi_set_config(WIFI_IF_STA, &c);
	memset(&c, 0, sizeof c);
	if (err == ESP_OK)
		/* each is followed by an event, and that by a connect */
		err = first ? esp_wifi_start() : esp_wifi_disconnect();
	if (err != ESP_OK)
		return LK_EIO;
	e->radio = true;
	(void)esp_wifi_set_ps(WIFI_PS_NONE); /* a command must not wait for the next beacon */
	return 0;
}

static bool net_ready(void *ctx) { return atomic_load(&((struct lk_esp *)ctx)->joined); }

static int32_t rssi(void *ctx)
{
	wifi_ap_record_t ap;

	return net_ready(ctx) && esp_wifi_sta_get_ap_info(&ap) == ESP_OK ? ap.rssi : 0;
}

/* ---- UDP ---- */

/* Closes the node's socket and opens another one; LK_EIO if there is none. */
static int take_socket(struct lk_esp_node *n)
{
	if (n->sock >= 0)
		(void)lwip_close(n->sock);
	n->sock = lwip_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	return n->sock < 0 ? LK_EIO : 0;
}

static struct sockaddr_in at(uint32_t address, uint16_t port)
{
	struct sockaddr_in a;

	memset(&a, 0, sizeof a);
	a.sin_family = AF_INET;
	a.sin_port = lwip_htons(port);
	a.sin_addr.s_addr = address;
	return a;
}

/* Opens a connected socket, so lwIP drops datagrams from other addresses. */
static int open_to(struct lk_esp_node *n, uint32_t address, uint16_t port)
{
	struct sockaddr_in to = at(address, port);
	int err = take_socket(n);

	n->asks_group = false;
	if (err == 0 && lwip_connect(n->sock, (const struct sockaddr *)&to, sizeof to) < 0) {
		(void)lwip_close(n->sock);
		n->sock = -1;
		err = LK_EIO;
	}
	return err;
}

static int udp_open(void *own, const char *host, uint16_t port)
{
	ip4_addr_t to;

	return ip4addr_aton(host, &to) != 0 ? open_to(own, to.addr, port) : LK_EIO;
}

/* We ask ourselves, because lwIP's client keeps one answer, the first, for as long as it says: a
 * forged one would shut the node out for days. A question to the group goes out by the one network
 * that a station has. */
static int udp_ask(void *own, const char *name, bool local)
{
	struct lk_esp_node *n = own;

	(void)name;
	if (local) {
		n->asks_group = true;
		return take_socket(n);
	}
	const ip_addr_t *server = dns_getserver(0);
	return server != NULL && IP_IS_V4(server) && ip_2_ip4(server)->addr != 0
		? open_to(n, ip_2_ip4(server)->addr, DNS_PORT) : LK_EIO;
}

static int udp_send(void *own, const uint8_t *b, size_t n)
{
	struct lk_esp_node *node = own;
	struct sockaddr_in to = at(lwip_htonl(MDNS_GROUP), MDNS_PORT);
	ssize_t sent;

	if (node->sock < 0)
		return LK_ECLOSED;
	if (node->asks_group)
		sent = lwip_sendto(node->sock, b, n, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to);
	else
		sent = lwip_send(node->sock, b, n, MSG_DONTWAIT);
	return sent == (ssize_t)n ? 0 : LK_EIO;
}

static int udp_recv(void *own, uint8_t *b, size_t cap)
{
	struct lk_esp_node *node = own;

	if (node->sock < 0)
		return LK_ECLOSED;
	ssize_t n = lwip_recv(node->sock, b, cap, MSG_DONTWAIT);
	return n > 0 ? (int)n : 0;
}

/* Waits for a datagram for one of the nodes, or for so many ms. True if there is one. */
static bool wait_for_datagram(const struct lk_esp *e, uint32_t ms)
{
	struct timeval wait = {.tv_sec = 0, .tv_usec = (int)(ms * 1000)};
	int last = -1;
	fd_set in;

	FD_ZERO(&in);
	for (int i = 0; i < e->count; i++) {
		int sock = e->nodes[i].sock;
		if (sock >= 0)
			FD_SET(sock, &in);
		last = sock > last ? sock : last;
	}
	if (last >= 0)
		return lwip_select(last + 1, &in, NULL, NULL, &wait) != 0;
	vTaskDelay((TickType_t)((ms + portTICK_PERIOD_MS - 1) / portTICK_PERIOD_MS));
	return false;
}

/* The serial line is not a socket, so it is checked between slices. */
static void udp_wait(void *ctx, uint32_t ms)
{
	const struct lk_esp *e = ctx;
	uint32_t began = lk_esp_now(ctx), gone = 0;

	while (gone < ms && !lk_esp_typed()) {
		if (wait_for_datagram(e, ms - gone < SLICE ? ms - gone : SLICE))
			return;
		gone = lk_esp_now(ctx) - began;
	}
}

void lk_esp_net_init(struct lk_port *port)
{
	port->net_join = net_join;
	port->net_ready = net_ready;
	port->rssi = rssi;
	port->udp_open = udp_open;
	port->udp_ask = udp_ask;
	port->udp_send = udp_send;
	port->udp_recv = udp_recv;
	port->udp_wait = udp_wait;
}
