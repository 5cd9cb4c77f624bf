#include <stdio.h>
#include <stdlib.h>

static const char *get(const char *name) {
	const char *value = getenv(name);
	return value ? value : "";
}

int main(void) {
	printf("Content-Type: text/plain\r\n\r\n");
	printf("%s %s %s\n", get("REQUEST_METHOD"), get("PATH_INFO"), get("QUERY_STRING"));
	for (int c; (c = getchar()) != EOF;) putchar(c);
	return 0;
}
