// Package lag asks triggers how much waits. What KEDA's scalers can ask, the helper asks, over KEDA's ExternalScaler protocol; the
// clock, the copies themselves and the embedded bus are asked here. It knows no runner: what it returns are functions.
package lag
