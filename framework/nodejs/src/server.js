'use strict';

const http = require('node:http');
const {answer} = require('./failure');
const {Request} = require('./request');
const {Response} = require('./response');

// Longer than any proxy before it keeps a connection, so that no request meets one that is just being closed.
const idleTimeout = 620_000;
const headersTimeout = 30_000;

// inspect looks at the headers once, without making an object of them: whether there is a body, and whether it is a probe.
function inspect(raw) {
  let found = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i];
    if (name.length === 14) {
      found |= name.toLowerCase() === 'content-length' && raw[i + 1] !== '0' ? 1 : 0;
    } else if (name.length === 17) {
      found |= name.toLowerCase() === 'transfer-encoding' ? 1 : 0;
    } else if (name.length === 15) {
      found |= name.toLowerCase() === 'k-network-probe' && raw[i + 1] === 'queue' ? 2 : 0;
    }
  }
  return found;
}

/** The state of a process on its way: waiting for its function, serving, draining. */
class State {
  draining = false;
  app;
  specialise; // answers /_ofn/specialise in a process that was started for it
}

function reserved(state, req, res) {
  const query = req.url.indexOf('?');
  const path = query < 0 ? req.url : req.url.slice(0, query);
  const known = path === '/_ofn/health' || path === '/_ofn/ready' || path === '/_ofn/specialise';
  if (!known || (path === '/_ofn/specialise' && !state.specialise && !state.draining)) {
    answer(res, 404, 'not found');
  } else if (state.draining) {
    answer(res, 503, 'draining');
  } else if (path === '/_ofn/specialise') {
    state.specialise(req, res);
  } else if (path === '/_ofn/ready' && !state.app) {
    answer(res, 503, 'not specialised');
  } else {
    answer(res, 200, 'ok');
  }
}

function probe(state, res) {
  if (state.draining) {
    answer(res, 503, 'draining');
  } else if (!state.app) {
    answer(res, 503, 'not specialised');
  } else {
    answer(res, 200, 'queue', undefined, false);
  }
}

/**
 * Make a server of an application, the function (req, res, hasBody) that router makes. Without one it waits for state.app. plain uses the
 * bare classes of node:http, for applications that bring their own.
 */
function createServer(app, options, plain = false) {
  const state = new State();
  state.app = app;
  const classes = plain ? {} : {IncomingMessage: Request, ServerResponse: Response};
  const server = http.createServer({
    ...classes, keepAliveTimeout: idleTimeout, headersTimeout, requestTimeout: 0, noDelay: true, maxHeaderSize: 128 << 10,
  }, (req, res) => {
    if (state.draining) {
      res.shouldKeepAlive = false;
    }
    const found = inspect(req.rawHeaders);
    if (req.url.startsWith('/_ofn/')) {
      reserved(state, req, res);
    } else if (found & 2) {
      probe(state, res);
    } else if (req.method === 'OPTIONS' && req.url === '*') {
      res.end();
    } else if (state.app) {
      state.app(req, res, (found & 1) === 1);
    } else {
      answer(res, 503, 'not specialised', {'Retry-After': '1'});
    }
  });
  return {server, state};
}

/** Stop accepting and finish what runs, for at most grace milliseconds. The promise is false when something had to be cut off. */
function drain(server, state, sockets, grace) {
  state.draining = true;
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      server.closeAllConnections();
      resolve(false);
    }, grace);
    server.close(() => {
      clearTimeout(timer);
      resolve(true);
    });
    server.closeIdleConnections();
    for (const socket of sockets) {
      const res = socket._httpMessage;
      if (res && !res.headersSent) {
        res.shouldKeepAlive = false;
      }
      res?.once('finish', () => setImmediate(() => server.closeIdleConnections()));
    }
  });
}

/** Keep the set of a server's open connections. */
function track(server) {
  const sockets = new Set();
  server.on('connection', socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  return sockets;
}

module.exports = {createServer, drain, track};
