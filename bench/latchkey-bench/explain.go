package main

import "latchkey/bench/report"

// Why our figure is worse than the best peer's, and what it would take to make it better.
const (
	layers = "more than half of it are system calls that receive, send and wait, between which Go's " +
		"scheduler asks the kernel more often than libcoap's one loop in C does; a worker runs the " +
		"handler, because it may wait for a door"
	buffers = "3 KB of heap, of which 1 KB are key schedules of AES, and what Go's allocator keeps beside it"
	synced  = "a write that is synced before the command, sealed and chained, where MQTT has none or a " +
		"line in a file; DTLS and CoAP for both nodes, where mosquitto is one loop in C"
	hellos = "half a megabyte is a table of the addresses that hellos came from; nothing else is kept for a " +
		"hello. Libcoap answers about a hundred hellos and then none, not those of nodes either, until " +
		"handshakes have timed out"
	public = "pion does the handshake's hashing and encoding with many small objects; ours adds a cookie " +
		"that holds no memory, the count of handshakes for each source, the table of sessions, and the " +
		"keys, which pion gives out as a gob. It would take a handshake of our own, which we do not want " +
		"to write"
)

// explanations say why a figure of ours is worse than the best peer's, by system and scenario.
var explanations = map[[2]string]string{
	{gatewayName, "tap"}: synced,
	{gatewayName + ", store in memory", "tap"}: "no write waits for a disk here, so it is the way through " +
		"DTLS and CoAP, four times, and sealing the event; " + layers,
	{transportName, "trip"}: layers,
	{transportName, "cold"}: public,
	{gatewayName, "cold"}: "after the handshake come a registration, a decision, a synced write " +
		"and a command; the peers answer a PUT and do nothing",
	{transportName, "handshake"}:  public,
	{gatewayName, "handshake"}:    public,
	{transportName, "throughput"}: layers,
	{gatewayName, "throughput"}: "it decides, counts, seals and syncs, where the peers do nothing with " +
		"what they get. With 16 sessions a fifth of it is the system call that syncs, and as much Go's " +
		"monitor thread, which wakes and hands on the only processor each time that this call waits; a " +
		"sixth sends answers, each to a generator that has to be woken because it waits too; a tenth is " +
		"the rest of Badger's write, and a fifth the decision, its event, counter and seals. Fewer sessions " +
		"at once share a sync among fewer scans, so one alone pays for all of it",
	{transportName, "idle"}: buffers,
	{gatewayName, "idle"}: buffers + ". The gateway adds what it knows of the device, its registration " +
		"and its Echoes",
	{transportName, "flood"}: hellos,
	{gatewayName, "flood"}:   hellos,
	{gatewayName, "loss"}: "a median that a loss does not touch is that of the warm tap: two sessions and " +
		"a synced write beside one round trip. The tail is where repeats count",
	{gatewayName, "bytes"}: "registration and the connection ID are in it, 9 bytes of each record to the " +
		"gateway, and an Echo each way, which is what makes a delayed scan worthless. " +
		"Without them it would be the peers' number",
}

func explain(system, scenario string) func(*report.Figure) {
	return note(explanations[[2]string{system, scenario}])
}
