'use strict';

const {OptionsError, port} = require('./options');

const RuntimeType = Object.freeze({Knative: 'knative', Async: 'async'});
const ComponentType = Object.freeze({Binding: 'bindings', PubSub: 'pubsub', State: 'state'});
const TraceProviderType = Object.freeze({SkyWalking: 'skywalking', OpenTelemetry: 'opentelemetry'});

const block = component => component?.componentType?.split('.')[0];

/** Tells the kinds of contexts and components apart. */
class ContextUtils {
  static IsKnativeRuntime(context) {
    return context?.runtime?.toLowerCase() === RuntimeType.Knative;
  }

  static IsAsyncRuntime(context) {
    return context?.runtime?.toLowerCase() === RuntimeType.Async;
  }

  static IsBindingComponent(component) {
    return block(component) === ComponentType.Binding;
  }

  static IsPubSubComponent(component) {
    return block(component) === ComponentType.PubSub;
  }

  static IsStateComponent(component) {
    return block(component) === ComponentType.State;
  }
}

function parse(name, text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (err) {
    throw new OptionsError(`reading ${name}: ${err.message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OptionsError(`reading ${name}: it must be a JSON object`);
  }
  return value;
}

function checkComponents(what, components, blocks) {
  for (const [name, c] of Object.entries(components ?? {})) {
    if (!c?.componentName) {
      throw new OptionsError(`${what} "${name}" has no componentName`);
    }
    if (!blocks.some(b => c.componentType?.startsWith(`${b}.`))) {
      throw new OptionsError(`${what} "${name}" has component type "${c.componentType}"; it must begin with ${blocks.map(b => `${b}.`).join(' or ')}`);
    }
  }
}

const defined = object => Object.fromEntries(Object.entries(object).filter(([, v]) => v !== undefined && v !== '' && v !== null));

// merge2 lets FUNC_CONTEXT_V1BETA2 say more of a component than FUNC_CONTEXT did.
function component(v2, old) {
  const c = {...old, ...defined({componentName: v2.componentName ?? v2.name, componentType: v2.componentType ?? v2.type, operation: v2.operation, metadata: v2.metadata})};
  const uri = ContextUtils.IsPubSubComponent(c) ? v2.topic || old?.uri : c.componentName;
  return defined({...c, uri});
}

function inputsOf(v2, old) {
  const inputs = {};
  for (const trigger of v2.triggers.dapr) {
    const sameTopic = o => !trigger.topic || trigger.topic === o.uri;
    const [oldName, known] = Object.entries(old).find(([, o]) => o?.componentName === trigger.name && sameTopic(o)) ?? [];
    let name = oldName ?? trigger.inputName ?? trigger.name;
    const more = v2.inputs?.[trigger.inputName ?? trigger.name];
    if (inputs[name]) {
      name += `/${trigger.topic}`;
    }
    inputs[name] = defined({...component({...more, ...defined(trigger)}, known), deadLetterTopic: trigger.deadLetterTopic});
  }
  return inputs;
}

function mergeV2(ctx, v2) {
  const dapr = v2.triggers?.dapr ?? [];
  Object.assign(ctx, defined({name: v2.name, version: v2.version, port: v2.triggers?.http?.port || undefined, states: v2.states, pluginsTracing: v2.tracing}));
  if (dapr.length > 0) {
    ctx.runtime = 'Async';
    ctx.inputs = inputsOf(v2, ctx.inputs ?? {});
  } else if (v2.triggers?.http) {
    ctx.runtime = 'Knative';
  }
  for (const [name, c] of Object.entries(v2.outputs ?? {})) {
    ctx.outputs = {...ctx.outputs, [name]: component(c, ctx.outputs?.[name])};
  }
  ctx.prePlugins = v2.preHooks?.length ? v2.preHooks : ctx.prePlugins;
  ctx.postPlugins = v2.postHooks?.length ? v2.postHooks : ctx.postPlugins;
}

/** The context of the function in FUNC_CONTEXT and FUNC_CONTEXT_V1BETA2. What breaks a rule is an OptionsError. */
function parseContext(env) {
  const ctx = env.FUNC_CONTEXT ? parse('FUNC_CONTEXT', env.FUNC_CONTEXT) : {};
  if (env.FUNC_CONTEXT_V1BETA2) {
    mergeV2(ctx, parse('FUNC_CONTEXT_V1BETA2', env.FUNC_CONTEXT_V1BETA2));
  }
  if (ctx.port !== undefined && String(ctx.port) !== '0' && ctx.port !== '') {
    ctx.port = port('the port of the function context', ctx.port);
  } else {
    delete ctx.port;
  }
  ctx.runtime ||= 'Knative';
  if (!ContextUtils.IsKnativeRuntime(ctx) && !ContextUtils.IsAsyncRuntime(ctx)) {
    throw new OptionsError(`FUNC_CONTEXT: runtime is "${ctx.runtime}"; it must be Knative or Async`);
  }
  checkComponents('input', ctx.inputs, ['bindings', 'pubsub']);
  checkComponents('output', ctx.outputs, ['bindings', 'pubsub']);
  checkComponents('state', ctx.states, ['state']);
  return ctx;
}

// The argument of state operations is {name: value} in OpenFunction; its first value counts. A bare value is itself.
const firstValue = data => (typeof data === 'object' && data !== null && !Array.isArray(data) ? Object.values(data)[0] : data);

/** What a function of OpenFunction's signature sees of one call. Properties of the function's context are its own too. */
class OpenFunctionRuntime {
  #context;
  #dapr;
  #state;

  /** call may be absent, in tests. from is {input, event}. */
  constructor(context, call, from, env = process.env) {
    this.#context = context;
    for (const name of ['name', 'version', 'runtime', 'port', 'inputs', 'outputs', 'states', 'prePlugins', 'postPlugins', 'pluginsTracing']) {
      this[name] = context[name];
    }
    this.call = call;
    this.req = from?.input === undefined ? call?.req : undefined;
    this.res = from?.input === undefined ? call?.res : undefined;
    this.input = from?.input;
    this.event = from?.event;
    this.locals = {};
    this.error = undefined;
    this.testing = env.TEST_MODE === 'on';
    this.podName = env.POD_NAME;
    this.podNamespace = env.POD_NAMESPACE;
  }

  get requestId() {
    return this.call?.requestId;
  }

  get deadline() {
    return this.call?.deadline;
  }

  get signal() {
    return this.call?.signal;
  }

  get sidecarPort() {
    return {HTTP: process.env.DAPR_HTTP_PORT || '3500', GRPC: process.env.DAPR_GRPC_PORT || '50001'};
  }

  /** The client of the Dapr runtime. */
  get dapr() {
    const {Dapr, traceOf} = require('./dapr');
    return (this.#dapr ??= new Dapr(process.env, traceOf(this.call?.req?.headers, this.event)));
  }

  /** A plugin of the function by its name. */
  getPlugin(name) {
    return this.plugins?.byName[name];
  }

  /**
   * Send data to an output, or to all when none is named. The result has, for each, {status: "fulfilled", value}; value is the answer of
   * a binding. It rejects when one of them fails, and when there is no such output.
   */
  async send(data, output) {
    const outputs = this.#context.outputs ?? {};
    if (output !== undefined && !Object.hasOwn(outputs, output)) {
      throw new Error(`there is no output "${output}"; there are: ${Object.keys(outputs).join(', ') || 'none'}`);
    }
    if (this.testing) {
      return [];
    }
    const chosen = output === undefined ? Object.values(outputs) : [outputs[output]];
    const results = await Promise.allSettled(chosen.map(c => this.#sendTo(c, data)));
    const failed = results.filter(r => r.status === 'rejected').map(r => r.reason);
    if (failed.length > 0) {
      throw failed.length === 1 ? failed[0] : new AggregateError(failed, failed.map(f => f.message).join('; '));
    }
    return results;
  }

  #sendTo(c, data) {
    if (ContextUtils.IsBindingComponent(c)) {
      return this.dapr.invokeBinding(c.componentName, c.operation, ArrayBuffer.isView(data) ? Buffer.from(data).toString('utf8') : data, c.metadata);
    }
    return this.dapr.publish(c.componentName, c.uri || '', data, c.metadata);
  }

  #store(db) {
    const states = this.#context.states ?? {};
    const name = db || Object.keys(states)[0];
    if (name === undefined || !Object.hasOwn(states, name)) {
      throw new Error(`there is no state store ${db ? `"${db}"` : ''}; there are: ${Object.keys(states).join(', ') || 'none'}`);
    }
    return states[name].componentName;
  }

  /** The operations of state stores; without db the first store is meant. */
  get state() {
    return (this.#state ??= {
      save: async (data, db) => this.dapr.saveState(this.#store(db), firstValue(data)),
      get: async (data, db) => this.dapr.getState(this.#store(db), firstValue(data)),
      getBulk: async (data, db) => {
        const [keys, parallelism, metadata] = Array.isArray(data) ? [data] : Object.values(data);
        return this.dapr.getBulkState(this.#store(db), keys, parallelism, metadata);
      },
      delete: async (data, db) => this.dapr.deleteState(this.#store(db), firstValue(data)),
      transaction: async (data, db) => {
        const [operations, metadata] = Array.isArray(data) ? [data] : Object.values(data);
        return this.dapr.transactState(this.#store(db), operations, metadata);
      },
      query: async (query, db) => this.dapr.queryState(this.#store(db), query?.query ?? query),
    });
  }
}

module.exports = {RuntimeType, ComponentType, TraceProviderType, ContextUtils, OpenFunctionRuntime, parseContext};
