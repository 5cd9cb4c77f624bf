package main

import (
	"testing"
	"time"
)

func TestSourcesThatAreAsked(t *testing.T) {
	for address, want := range map[string]bool{
		"10.1.2.3:443": true, "140.82.121.4:22": true, "[2606:50c0::1]:443": true, "169.254.169.254:80": false, "127.0.0.1:8081": false, "[::1]:80": false,
		"[::ffff:127.0.0.1]:80": false, "0.0.0.0:80": false, "[fe80::1]:80": false, "[fd00:ec2::254]:80": false, "x": false,
	} {
		if err := (&followSettings{}).mayAsk(address); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := (&followSettings{local: true}).mayAsk("127.0.0.1:80"); err != nil {
		t.Error(err)
	}
}

func TestSpread(t *testing.T) {
	for range 1000 {
		if d := spread(time.Minute); d < 54*time.Second || d > 66*time.Second {
			t.Fatal(d)
		}
	}
}
