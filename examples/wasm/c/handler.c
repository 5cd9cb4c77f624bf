#include <stdio.h>
#include <string.h>

#include "ofn.h"

static char buf[65536];
static int calls;

__attribute__((export_name("ofn_handle"))) int handle(void) {
	int n = request_head(buf, sizeof buf - 1);
	if (n < 0 || n >= (int)sizeof buf) return 1;
	buf[n] = 0;
	if (strstr(buf, " /echo ")) {
		while ((n = request_body(buf, sizeof buf)) > 0)
			if (response_body(buf, n) < 0) return 1;
		return n;
	}
	if (strstr(buf, " /trap ")) __builtin_trap();
	static const char head[] = "200 OK\r\nContent-Type: text/plain\r\n";
	response_head(head, sizeof head - 1);
	n = snprintf(buf, sizeof buf, "hello %d\n", ++calls);
	return response_body(buf, n) < 0;
}
