// Package homeassistant joins doors and lamps to Home Assistant over MQTT. It announces them,
// states how they are, and takes commands. It decides nothing: an integration is a subject of the
// policy, and what it asks is an attempt like any other.
//
// The broker is not trusted. A command must carry an echo, which we gave to Home Assistant, which
// is valid for one command, and a time by Home Assistant's clock. So a message that somebody
// repeats, keeps at the broker, or holds back does nothing. Whoever controls the broker can still
// ask at once for what the integration was granted: see README.md.
package homeassistant
