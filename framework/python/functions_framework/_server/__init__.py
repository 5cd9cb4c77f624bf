"""The HTTP/1.1 server: one thread that waits and parses (reactor), and where handlers run (threads, loop).

httptools, which is llhttp, parses. The thread that parses never runs a handler, so that it answers health whatever a handler does.
"""
