// The interface of handlers, framework/wasm/abi.md.
#include <stddef.h>

#define OFN(name) __attribute__((import_module("ofn_v1"), import_name(name)))

OFN("request_head") int request_head(void *at, int room);
OFN("request_body") int request_body(void *at, int room);
OFN("response_head") int response_head(const void *head, int length);
OFN("response_body") int response_body(const void *part, int length);
OFN("response_flush") int response_flush(void);
