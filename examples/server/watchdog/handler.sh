#!/bin/sh
# The body of the call is the standard input, the standard output is the answer.
echo "$Http_Method $Http_Path: $(wc -w) words"
