//go:build race

package dapr_test

// raceDetector tells tests that the drivers of Kafka and MQTT cannot run here: components-contrib writes the logger of the one, and the
// fields of the other, while their connections read them.
const raceDetector = true
