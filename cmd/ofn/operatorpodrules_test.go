package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestPodSettings(t *testing.T) {
	for _, test := range []struct {
		settings podSettings
		says     string
	}{
		{podSettings{}, ""},
		{podSettings{security: "restricted", policies: "isolated"}, ""},
		{podSettings{security: "strict"}, "--pod-security"},
		{podSettings{policies: "closed"}, "--network-policies"},
	} {
		_, err := operatorOptions(&operatorSettings{pods: test.settings})
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v", test.settings, err)
		}
	}
}

func TestHostAddress(t *testing.T) {
	for host, want := range map[string]string{
		"https://10.96.0.1:443":      "[10.96.0.1]",
		"https://[2001:db8::1]:6443": "[2001:db8::1]",
		"10.96.0.1:443":              "[10.96.0.1]",
		"10.96.0.1":                  "[10.96.0.1]",
		"https://api.example.com":    "[]",
		"https://127.0.0.1:6443":     "[]", // a tunnel of who runs it by hand
	} {
		if got := fmt.Sprint(hostAddress(host)); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
}
