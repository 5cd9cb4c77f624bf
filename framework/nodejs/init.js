'use strict';

// Loaded before a complete server, which is the first process of its container. The kernel gives that one no default action for signals, so
// one that the server does not handle would be ignored.
for (const [signal, code] of [['SIGTERM', 143], ['SIGINT', 130]]) {
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) {
      process.exit(code);
    }
  });
}
