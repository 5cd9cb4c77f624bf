#!/bin/sh
printf 'Content-Type: text/plain; charset=utf-8\n\n'
echo "hello, ${PATH_INFO#/}, by $REQUEST_METHOD"
