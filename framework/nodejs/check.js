'use strict';

// Loads a function as it will be served, without serving it, for the builder: writes OFN_CHECK_MARK and one JSON object
// {ok, kind, error, stack, functions: [{name, signature, named, path, methods}]}. kind is "load" when the code could not be loaded,
// with the name and code of the error, and "target" when it was loaded and lacks what was named.
const fs = require('node:fs');
const path = require('node:path');
const {spawnSync} = require('node:child_process');
const {parseOptions, OptionsError} = require('./src/options');
const {loadFunctions} = require('./src/loader');

async function check() {
  try {
    const {entries} = await loadFunctions(parseOptions(process.env));
    return {ok: true, functions: entries.map(({name, signature, named, path: at, methods}) => ({name, signature, named: named === true, path: at, methods}))};
  } catch (err) {
    if (err instanceof OptionsError) {
      return {ok: false, kind: 'target', error: err.message};
    }
    const cause = err.cause ?? err;
    if (cause instanceof SyntaxError && !/:\d+$/m.test(cause.stack)) {
      return {ok: false, kind: 'load', error: err.message, stack: locate(process.env.FUNCTION_SOURCE) ?? cause.stack, name: cause.name};
    }
    return {ok: false, kind: 'load', error: err.message, stack: err.traceback ?? err.stack, name: cause.name, code: cause.code};
  }
}

// locate finds the file that does not parse: errors of ES modules do not tell.
function locate(source) {
  const dir = path.extname(source) === '' ? source : path.dirname(source);
  const files = fs.readdirSync(dir, {recursive: true}).filter(f => /\.[cm]?js$/.test(f) && !f.includes('node_modules'));
  for (const file of files.slice(0, 200)) {
    const {status, stderr} = spawnSync(process.execPath, ['--check', path.join(dir, file)], {encoding: 'utf8'});
    if (status !== 0) {
      return stderr.replaceAll('file://', '');
    }
  }
  return undefined;
}

const mark = process.env.OFN_CHECK_MARK ?? '';
const tell = result => {
  fs.writeSync(1, `\n${mark}${JSON.stringify(result)}\n`);
  process.reallyExit(result.ok ? 0 : 1);
};
process.on('exit', code => tell({ok: false, kind: 'load', error: `the code ended the process with code ${code} while it was loaded`}));
check().then(tell);
