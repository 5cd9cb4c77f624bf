'use strict';

const {answer} = require('./failure');
const {readBody, oneLine, strictJSON} = require('./body');
const {isObject} = require('./cloudevent');
const {parseOptions} = require('./options');
const {setLevel} = require('./log');

const limit = 1 << 20;

function parse(body) {
  const value = strictJSON(body);
  if (!isObject(value)) {
    throw new TypeError('it is another kind of value');
  }
  for (const name of ['source', 'target', 'signatureType']) {
    if (value[name] !== undefined && typeof value[name] !== 'string') {
      throw new TypeError(`"${name}" must be a string`);
    }
  }
  if (!value.source) {
    throw new TypeError('"source" is missing');
  }
  const {env = {}} = value;
  if (!isObject(env) || !Object.values(env).every(v => typeof v === 'string')) {
    throw new TypeError('"env" must be an object of strings');
  }
  return {...value, env};
}

// environment sets what the process would have been started with.
function environment({source, target, signatureType, env}) {
  const named = {FUNCTION_SOURCE: source, FUNCTION_TARGET: target, FUNCTION_SIGNATURE_TYPE: signatureType};
  for (const [name, value] of Object.entries({...env, ...named})) {
    if (value !== undefined) {
      process.env[name] = value;
    }
  }
  delete process.env.OFN_GENERIC;
}

/** Answer /_ofn/specialise, once: ready gets the loaded function; failed gets the error that ends the process. */
function generic(options, ready, failed) {
  let begun = false;
  const run = async (req, res) => {
    if (req.method !== 'POST') {
      answer(res, 405, 'method not allowed', {Allow: 'POST'});
      return;
    }
    if (begun) {
      answer(res, 409, 'already specialised');
      return;
    }
    let asked;
    try {
      asked = parse(await readBody(req, limit));
    } catch (err) {
      answer(res, 400, `the body is not the JSON that /_ofn/specialise takes: ${oneLine(err)}`);
      return;
    }
    begun = true;
    try {
      environment(asked);
      const own = parseOptions(process.env);
      setLevel(own.level);
      Object.assign(options, own);
      ready(await require('./main').prepare(own, process.env));
      answer(res, 200, 'ok');
    } catch (err) {
      res.once('close', () => failed(err));
      answer(res, 500, err.message, {Connection: 'close'});
    }
  };
  return (req, res) => void run(req, res);
}

module.exports = {generic};
