package main

import "latchkey/bench/report"

// Why our figure is worse than the best peer's, and what it would take to make it better.
const (
	layers = "stock pion and go-coap: a goroutine for each message and 60 or so objects, where libcoap " +
		"has one loop in C. It would take a record loop and a " +
		"message layer of our own below the handlers; a spike of that ran at half of libcoap's CPU"
	buffers = "8 KiB are pion's buffer for the next record, 16 KB the stacks of five goroutines that " +
		"wait. It would take a record loop of our own after pion's " +
		"handshake, which a spike ran with 3.5 KB"
	synced = "a write that is synced before the command, sealed and chained, where MQTT has none or a " +
		"line in a file; DTLS by pion and CoAP by go-coap for both nodes, " +
		"where mosquitto is one loop in C. It would take a record loop of our own"
	public = "pion does the handshake's hashing and encoding with many small objects, on five goroutines; " +
		"ours adds a cookie that holds no memory, the count of handshakes for each " +
		"source, and the table of sessions. It would take a handshake of our own, which we do not want to " +
		"write"
)

// explanations say why a figure of ours is worse than the best peer's, by system and scenario.
var explanations = map[[2]string]string{
	{gatewayName, "tap"}: synced,
	{gatewayName + ", store in memory", "tap"}: "no write waits for a disk here, so it is the way through " +
		"pion and go-coap, four times, and sealing the event; " + layers,
	{transportName, "trip"}: layers,
	{transportName, "cold"}: public,
	{gatewayName, "cold"}: "after the handshake come a registration, a decision, a synced write " +
		"and a command; the peers answer a PUT and do nothing",
	{transportName, "handshake"}:  public,
	{gatewayName, "handshake"}:    public,
	{transportName, "throughput"}: layers,
	{gatewayName, "throughput"}: "it decides, counts, seals and syncs, where the peers do nothing with " +
		"what they get; the rest is " + layers + ". Fewer sessions at once share a sync " +
		"among fewer scans, so one alone pays for all of it",
	{transportName, "idle"}: buffers,
	{gatewayName, "idle"}: buffers + ". The gateway adds what it knows of the device, its registration " +
		"and its Echoes",
	{gatewayName, "loss"}: "a median that a loss does not touch is that of the warm tap: two sessions and " +
		"a synced write beside one round trip. The tail is where repeats count",
	{gatewayName, "bytes"}: "registration and the connection ID are in it, 9 bytes of each record to the " +
		"gateway, and an Echo each way, which is what makes a delayed scan worthless. " +
		"Without them it would be the peers' number",
}

func explain(system, scenario string) func(*report.Figure) {
	return note(explanations[[2]string{system, scenario}])
}
