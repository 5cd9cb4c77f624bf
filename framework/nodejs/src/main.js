'use strict';

const {calls, write, setLevel} = require('./log');
const {fail, describe} = require('./failure');
const {OptionsError, parseOptions, fromFlags} = require('./options');
const {createServer, drain, track} = require('./server');

/** Serve the function that the environment and command line name, until the process is told to end. */
async function main(args) {
  try {
    await start(args);
  } catch (err) {
    ended(err);
  }
}

// ended writes why the process cannot go on, and ends it.
function ended(err) {
  const told = err instanceof OptionsError ? {error: err.message} : describe(err);
  const stack = err.traceback ?? told.stack;
  write('error', 'function server ended', {error: told.error, ...(stack && {stack})});
  orderly.exit(1);
}

const orderly = {
  done: false,
  exit(code) {
    this.done = true;
    process.exit(code);
  },
};

async function start(args) {
  Object.assign(process.env, fromFlags(args));
  const options = parseOptions(process.env);
  setLevel(options.level);
  const inherited = takeListener(process.env);
  if (options.generic) {
    const {generic} = require('./specialise');
    const {server, state} = createServer(undefined, options);
    state.specialise = generic(options, loaded => {
      state.app = loaded.app;
      attach(server, loaded);
    }, ended);
    guard(options, server, state);
    await listen(server, inherited, options.port);
    return;
  }
  const loaded = await prepare(options, process.env);
  const {server, state} = createServer(loaded.app, options, loaded.plain);
  attach(server, loaded);
  guard(options, server, state);
  await listen(server, inherited, loaded.port ?? options.port);
}

/** Load the function and all that it needs. The result is {app, plain, upgrades, port}. */
async function prepare(options, env) {
  const context = env.FUNC_CONTEXT || env.FUNC_CONTEXT_V1BETA2 ? require('./context').parseContext(env) : {};
  const {loadFunctions, loadPlugins} = require('./loader');
  const loaded = await loadFunctions(options);
  const {entries, target, several, file} = loaded;
  let plugins;
  if (entries.some(e => e.signature === 'openfunction')) {
    const {Plugins} = require('./plugin');
    plugins = new Plugins(context);
    await loadPlugins(plugins, file, options.source);
  }
  const [first] = entries;
  await first.ready?.();
  const {router} = require('./router');
  const app = router(entries, target, {options, context, plugins, several});
  return {app, plain: first.signature === 'application', upgrades: first.upgrades, port: context.port};
}

// attach lets the server of an application take over connections, as for WebSockets.
function attach(server, {upgrades}) {
  if (upgrades && upgrades.listenerCount('upgrade') > 0) {
    server.on('upgrade', (req, socket, head) => upgrades.emit('upgrade', req, socket, head));
  }
}

// takeListener tells whether a listening socket was handed over, and hides that from the function and its children.
function takeListener(env) {
  const inherited = env.LISTEN_FDS === '1' && env.LISTEN_PID === String(process.pid);
  delete env.LISTEN_FDS;
  delete env.LISTEN_PID;
  delete env.LISTEN_FDNAMES;
  return inherited;
}

function listen(server, inherited, port) {
  return new Promise((resolve, reject) => {
    const where = inherited ? 'the inherited socket' : `port ${port} (set PORT to choose another)`;
    server.once('error', err => reject(new OptionsError(`listening on ${where}: ${err.message}`)));
    server.listen(inherited ? {fd: 3} : {port, backlog: 1024}, resolve);
  });
}

// guard ends the process in order when it is told to, and takes exceptions that nobody caught for failures of the call they belong to.
function guard(options, server, state) {
  const sockets = track(server);
  const end = async cause => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      process.removeAllListeners(signal); // from now on a signal ends the process at once
    }
    const whole = await drain(server, state, sockets, options.grace);
    if (cause) {
      ended(cause);
    } else if (!whole) {
      ended(new OptionsError('requests were cut off at the end of the grace period'));
    }
    orderly.exit(0);
  };
  process.on('SIGTERM', () => void end());
  process.on('SIGINT', () => void end());
  const stray = err => {
    const call = calls.getStore();
    if (call) {
      fail(call, err);
    } else if (!state.draining) {
      end(Object.assign(err instanceof Error ? err : new Error(String(err)), {traceback: err?.stack}));
    }
  };
  process.on('uncaughtException', stray);
  process.on('unhandledRejection', stray);
  process.on('exit', code => {
    if (code === 0 && !orderly.done) {
      process.exitCode = 1; // the function ended the process
    }
  });
}

module.exports = {main, prepare};
