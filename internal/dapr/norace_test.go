//go:build !race

package dapr_test

const raceDetector = false
