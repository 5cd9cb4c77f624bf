'use strict';

const {levels} = require('./log');

/** An error of the environment or the command line, whose text is meant for people. */
class OptionsError extends Error {}

const signatures = ['http', 'cloudevent', 'event', 'openfunction', 'typed'];

function whole(name, text, least, most, rule) {
  if (!/^[0-9]{1,15}$/.test(text) || Number(text) < least || Number(text) > most) {
    throw new OptionsError(`${name} is "${text}": ${rule}`);
  }
  return Number(text);
}

/** A port, as a number or its text. */
function port(name, value) {
  return whole(name, String(value), 1, 65535, 'a port is a number from 1 to 65535');
}

function duration(name, text) {
  const m = /^([0-9]{1,9})(ms|s|m)$/.exec(text);
  if (!m || Number(m[1]) === 0) {
    throw new OptionsError(`${name} is "${text}": it must be digits and ms, s or m, and more than 0, such as 25s`);
  }
  return Number(m[1]) * {ms: 1, s: 1000, m: 60_000}[m[2]];
}

function oneOf(name, text, names) {
  if (!names.includes(text)) {
    throw new OptionsError(`${name} is "${text}": it must be ${names.slice(0, -1).join(', ')} or ${names.at(-1)}`);
  }
  return text;
}

const flags = {
  '--port': 'PORT',
  '--target': 'FUNCTION_TARGET',
  '--source': 'FUNCTION_SOURCE',
  '--signature-type': 'FUNCTION_SIGNATURE_TYPE',
};

/** The environment that command line flags ask for, such as --target=hello or --target hello. */
function fromFlags(args) {
  const env = {};
  for (let i = 0; i < args.length; i++) {
    const [flag, ...rest] = args[i].split('=');
    const name = flags[flag];
    if (!name) {
      throw new OptionsError(`there is no flag ${flag}; there are ${Object.keys(flags).join(', ')}`);
    }
    const value = rest.length > 0 ? rest.join('=') : args[++i];
    if (value === undefined) {
      throw new OptionsError(`${flag} lacks its value`);
    }
    env[name] = value;
  }
  return env;
}

/** What the environment says. Every variable that breaks its rule is an OptionsError. */
function parseOptions(env) {
  const o = defaults();
  o.target = env.FUNCTION_TARGET || env.FUNC_NAME || undefined;
  o.source = env.FUNCTION_SOURCE || '.';
  o.service = env.K_SERVICE || undefined;
  o.generic = env.OFN_GENERIC === '1';
  if (env.FUNCTION_SIGNATURE_TYPE) {
    const signature = oneOf('FUNCTION_SIGNATURE_TYPE', env.FUNCTION_SIGNATURE_TYPE, signatures);
    o.signature = signature === 'event' ? 'background' : signature;
  }
  if (env.PORT) {
    o.port = port('PORT', env.PORT);
  }
  if (env.OFN_GRACE) {
    o.grace = duration('OFN_GRACE', env.OFN_GRACE);
  }
  if (env.OFN_LOG_LEVEL) {
    o.level = oneOf('OFN_LOG_LEVEL', env.OFN_LOG_LEVEL, Object.keys(levels));
  }
  if (env.OFN_MAX_BODY) {
    o.maxBody = whole('OFN_MAX_BODY', env.OFN_MAX_BODY, 1, Number.MAX_SAFE_INTEGER, 'it must be a number of bytes, at least 1');
  }
  if (env.OFN_CONCURRENCY) {
    whole('OFN_CONCURRENCY', env.OFN_CONCURRENCY, 0, Number.MAX_SAFE_INTEGER, 'it must be a number of calls, 0 for any');
  }
  return o;
}

/** What holds when the environment says nothing. */
function defaults() {
  return {source: '.', signature: 'http', port: 8080, grace: 30_000, level: 'info', maxBody: 64 << 20, generic: false};
}

module.exports = {OptionsError, parseOptions, fromFlags, defaults, port};
