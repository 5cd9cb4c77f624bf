'use strict';

const {write} = require('./log');

const key = Symbol.for('openfunction.functions.plugin');

/** The base of plugins: a class in the directory plugins/ of a function that extends it is loaded with the function. */
class Plugin {
  constructor(name, version = 'unknown') {
    if (typeof name !== 'string' || name.trim() === '') {
      throw new Error('a plugin must have a name: call super(name, version)');
    }
    this.name = name;
    this.version = version;
  }

  get(property) {
    return this[property];
  }

  /** Called before the function, with the context of the call and all plugins by name. */
  async execPreHook() {}

  /** Called after the function, also when it failed: then ctx.error says why. */
  async execPostHook() {}
}

// Another copy of this package has a class Plugin of its own: the mark tells that both are one.
Object.defineProperty(Plugin.prototype, key, {value: true});

/** Whether a value is a class of plugins. */
function isPlugin(value) {
  return typeof value === 'function' && value.prototype?.[key] === true && Object.getPrototypeOf(value) !== Function.prototype;
}

/** The plugins of a function, and which of them are called. */
class Plugins {
  constructor(context) {
    this.byName = {};
    this.pre = context.prePlugins ?? [];
    this.post = context.postPlugins ?? [];
  }

  add(plugin) {
    this.byName[plugin.name] = plugin;
  }

  /** Log once which names have no plugin. */
  check() {
    for (const name of new Set([...this.pre, ...this.post])) {
      if (!this.byName[name]) {
        const there = Object.keys(this.byName).join(', ') || 'none';
        write('warn', 'plugin failed', {plugin: name, phase: this.pre.includes(name) ? 'before' : 'after', error: `there is no plugin of this name; there are: ${there}`});
      }
    }
  }

  before(ctx) {
    return this.#run(ctx, 'before', 'execPreHook', this.pre);
  }

  after(ctx) {
    return this.#run(ctx, 'after', 'execPostHook', this.post);
  }

  // Without a list every plugin is called, as OpenFunction does.
  async #run(ctx, phase, hook, list) {
    for (const name of list.length > 0 ? list : Object.keys(this.byName)) {
      const plugin = this.byName[name];
      if (!plugin) {
        continue;
      }
      try {
        await plugin[hook](ctx, this.byName);
      } catch (err) {
        write('warn', 'plugin failed', {plugin: name, phase, error: String(err?.message ?? err)});
      }
    }
  }
}

module.exports = {Plugin, Plugins, isPlugin};
