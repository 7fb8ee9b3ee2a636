//go:build race

package e2e

// raceDetector: the program is built as this test is, so that a race in a service is found too.
const raceDetector = true
