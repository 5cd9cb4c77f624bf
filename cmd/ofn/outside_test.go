package main

import "testing"

func TestMayReach(t *testing.T) {
	p := &platform{}
	for address, may := range map[string]bool{
		"192.0.2.1:80": true, "[2001:db8::1]:443": true, "127.0.0.1:8080": true,
		"169.254.169.254:80": false, "[::ffff:169.254.169.254]:80": false, "[fe80::1]:80": false, "[fd00:ec2::254]:80": false, "100.100.100.200:80": false,
		"0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:80": false, "host:80": false,
	} {
		if err := p.mayReach(address); (err == nil) != may {
			t.Errorf("%s: %v", address, err)
		}
	}
}
