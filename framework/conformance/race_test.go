//go:build race

package conformance_test

// raceDetector: the fixtures are built with what the test is built with.
const raceDetector = true
