/// <reference types="node" />
// The types of functions and of all that they see.
import {IncomingMessage, ServerResponse} from 'node:http';

/** The call that running code belongs to. */
export interface Call {
  /** Name of the function, as its log lines have it. */
  readonly function: string;
  /** X-Request-Id, else the trace id, else 32 random hexadecimal digits. */
  readonly requestId: string;
  /** The trace id of a valid traceparent. */
  readonly traceId: string | undefined;
  /** When the caller stops waiting. */
  readonly deadline: Date | undefined;
  /** Aborts when the client goes away or the deadline has come. */
  readonly signal: AbortSignal;
}

/** A request: that of node:http with what Express adds. */
export interface Request<Params = Record<string, string>, Body = any, Query = Record<string, any>> extends IncomingMessage {
  url: string;
  method: string;
  /** JSON, form or text as a value, otherwise a Buffer; undefined for functions that read the request as a stream. */
  body: Body;
  /** The body as it came, decompressed. */
  rawBody?: Buffer;
  query: Query;
  /** Variables of the path of the function, such as {name} in "/hello/{name}". */
  params: Params;
  path: string;
  originalUrl: string;
  baseUrl: string;
  hostname: string | undefined;
  host: string | undefined;
  ip: string | undefined;
  ips: string[];
  protocol: string;
  secure: boolean;
  subdomains: string[];
  xhr: boolean;
  call: Call;
  requestId: string;
  deadline: Date | undefined;
  abortSignal: AbortSignal;
  /** Milliseconds until the deadline, or undefined when the caller named none. */
  timeRemaining(): number | undefined;
  get(name: 'set-cookie'): string[] | undefined;
  get(name: string): string | undefined;
  header(name: string): string | undefined;
  is(...types: (string | string[])[]): string | false;
  accepts(): string[];
  accepts(...types: (string | string[])[]): string | false;
  acceptsEncodings(...names: (string | string[])[]): string | string[] | false;
  acceptsCharsets(...names: (string | string[])[]): string | string[] | false;
  acceptsLanguages(...names: (string | string[])[]): string | string[] | false;
}

export interface CookieOptions {
  domain?: string;
  path?: string;
  expires?: Date;
  /** Milliseconds. */
  maxAge?: number | null;
  httpOnly?: boolean;
  secure?: boolean;
  partitioned?: boolean;
  sameSite?: boolean | 'lax' | 'strict' | 'none' | 'Lax' | 'Strict' | 'None';
  encode?(value: string): string;
}

/** A response: that of node:http with what Express adds. */
export interface Response<Body = any> extends ServerResponse {
  locals: Record<string, any>;
  status(code: number): this;
  sendStatus(code: number): this;
  /** Text is sent as HTML unless a type was set, bytes as they are, everything else as JSON. */
  send(body?: Body): this;
  json(body?: Body): this;
  jsonp(body?: Body): this;
  set(name: string, value: string | number | readonly string[]): this;
  set(headers: Record<string, string | number | readonly string[]>): this;
  header(name: string, value: string | number | readonly string[]): this;
  header(headers: Record<string, string | number | readonly string[]>): this;
  get(name: string): number | string | string[] | undefined;
  append(name: string, value: string | readonly string[]): this;
  type(name: string): this;
  contentType(name: string): this;
  redirect(url: string): this;
  redirect(status: number, url: string): this;
  location(url: string): this;
  vary(field: string | string[]): this;
  links(links: Record<string, string>): this;
  cookie(name: string, value: any, options?: CookieOptions): this;
  clearCookie(name: string, options?: CookieOptions): this;
  attachment(filename?: string): this;
  format(types: Record<string, (req: Request, res: Response) => void>): this;
  sendFile(path: string, options?: {root?: string; headers?: Record<string, string>}, done?: (err?: Error) => void): this;
  download(path: string, filename?: string, done?: (err?: Error) => void): this;
}

/** A CloudEvent, version 1.0: attributes and extensions are properties. */
export interface CloudEventV1<T = unknown> {
  specversion: string;
  id: string;
  source: string;
  type: string;
  time?: string;
  subject?: string;
  datacontenttype?: string;
  dataschema?: string;
  data?: T;
  [extension: string]: any;
}

/** Attributes of a new event; id, source and type are given to it where they are absent. */
export type CloudEventAttributes<T = unknown> = Partial<Omit<CloudEventV1<T>, 'time'>> & {time?: string | Date; [extension: string]: any};

export class CloudEvent<T = unknown> implements CloudEventV1<T> {
  constructor(attributes: CloudEventAttributes<T>);
  specversion: string;
  id: string;
  source: string;
  type: string;
  time?: string;
  subject?: string;
  datacontenttype?: string;
  dataschema?: string;
  data?: T;
  [extension: string]: any;
  /** The data as bytes, as they came in binary mode. */
  readonly rawData: Buffer | undefined;
}

/** An error whose status and message are the answer of a function of CloudEvents, or whose status is that of an OpenFunction. */
export class HttpError extends Error {
  constructor(status: number, message: string, options?: ErrorOptions);
  readonly status: number;
}

/** What the platform tells a function of itself. */
export interface OpenFunctionContext {
  name: string;
  version: string;
  runtime: string;
  port?: string | number;
  inputs?: Record<string, OpenFunctionComponent>;
  outputs?: Record<string, OpenFunctionComponent>;
  states?: Record<string, OpenFunctionComponent>;
  prePlugins?: string[];
  postPlugins?: string[];
  pluginsTracing?: TraceConfig;
}

/** A component of Dapr. */
export interface OpenFunctionComponent {
  componentName: string;
  componentType: string;
  /** Topic of a pubsub component. */
  uri?: string;
  operation?: string;
  metadata?: Record<string, string>;
}

export interface TraceConfig {
  enabled: boolean;
  provider: {name: string; oapServer: string};
  tags?: Record<string, string> & {func?: string};
  baggage?: Record<string, string>;
}

export const RuntimeType: {readonly Knative: 'knative'; readonly Async: 'async'};
export const ComponentType: {readonly Binding: 'bindings'; readonly PubSub: 'pubsub'; readonly State: 'state'};
export const TraceProviderType: {readonly SkyWalking: 'skywalking'; readonly OpenTelemetry: 'opentelemetry'};

export class ContextUtils {
  static IsKnativeRuntime(context: OpenFunctionContext): boolean;
  static IsAsyncRuntime(context: OpenFunctionContext): boolean;
  static IsBindingComponent(component: OpenFunctionComponent): boolean;
  static IsPubSubComponent(component: OpenFunctionComponent): boolean;
  static IsStateComponent(component: OpenFunctionComponent): boolean;
}

/** Operations of state stores; the first value of data counts, as in {key: 'name'}. Without db the first store is meant. */
export interface StateOperations {
  save(data: object, db?: string): Promise<void>;
  get(data: object | string, db?: string): Promise<any>;
  getBulk(data: object, db?: string): Promise<any[]>;
  delete(data: object | string, db?: string): Promise<void>;
  transaction(data: object, db?: string): Promise<void>;
  query(query: object, db?: string): Promise<any>;
}

/** The client of the Dapr runtime. */
export interface Dapr {
  invokeBinding(name: string, operation: string | undefined, data: any, metadata?: Record<string, string>): Promise<any>;
  publish(pubsub: string, topic: string, data: any, metadata?: Record<string, string>): Promise<any>;
  saveState(store: string, items: object[]): Promise<any>;
  getState(store: string, key: string): Promise<any>;
  getBulkState(store: string, keys: string[], parallelism?: number, metadata?: object): Promise<any>;
  deleteState(store: string, key: string): Promise<any>;
  transactState(store: string, operations: object[], metadata?: object): Promise<any>;
  queryState(store: string, query: object): Promise<any>;
}

/** What a function of OpenFunction's signature sees of one call. */
export class OpenFunctionRuntime implements OpenFunctionContext {
  name: string;
  version: string;
  runtime: string;
  port?: string | number;
  inputs?: Record<string, OpenFunctionComponent>;
  outputs?: Record<string, OpenFunctionComponent>;
  states?: Record<string, OpenFunctionComponent>;
  prePlugins?: string[];
  postPlugins?: string[];
  pluginsTracing?: TraceConfig;
  /** Request and response of a call over HTTP; undefined for a message of an input. */
  readonly req: Request | undefined;
  readonly res: Response | undefined;
  /** Name of the input whose message it is. */
  readonly input: string | undefined;
  /** The CloudEvent that the call is, if it is one. */
  readonly event: CloudEvent | undefined;
  readonly locals: Record<string, any>;
  /** Why the function failed, for plugins that run after it. */
  error: Error | undefined;
  readonly requestId: string | undefined;
  readonly deadline: Date | undefined;
  readonly signal: AbortSignal | undefined;
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly sidecarPort: {HTTP: string; GRPC: string};
  readonly dapr: Dapr;
  readonly state: StateOperations;
  getPlugin(name: string): Plugin | undefined;
  /** Send to an output, or to all. Rejects when one fails, and when there is no such output. */
  send(data: any, output?: string): Promise<PromiseSettledResult<any>[]>;
}

/** The base of plugins, which are classes in the directory plugins/ of a function. */
export class Plugin {
  constructor(name: string, version?: string);
  readonly name: string;
  readonly version: string;
  get(property: string): any;
  execPreHook(ctx: OpenFunctionRuntime, plugins: Record<string, Plugin>): Promise<void>;
  execPostHook(ctx: OpenFunctionRuntime, plugins: Record<string, Plugin>): Promise<void>;
}

/** What an OpenFunction may return instead of its data alone. */
export interface HttpFunctionResponse {
  /** 200 to 599; 0 and absent mean 200. */
  code?: number;
  headers?: Record<string, string>;
  body?: any;
  /** {retry: "true"} with a code from 500 has a message delivered again. */
  metadata?: Record<string, string>;
}

/** Answers with res; a function without a second parameter answers with what it returns. */
export type HttpFunction = (req: Request, res: Response) => any;
export type CloudEventFunction<T = unknown> = (event: CloudEvent<T>) => any;
export type CloudEventFunctionWithCallback<T = unknown> = (event: CloudEvent<T>, callback: (err?: unknown, result?: any) => void) => any;
export type OpenFunction = (ctx: OpenFunctionRuntime, data: any) => any;
export type TypedFunction<In = any, Out = any> = (value: In, req: Request) => Out | Promise<Out>;

/** A background event of Google Cloud Functions. */
export interface CloudFunctionsContext {
  eventId?: string;
  timestamp?: string;
  eventType?: string;
  resource?: string | {[key: string]: string};
}
export type Context = CloudFunctionsContext | CloudEventV1<unknown>;
export type EventFunction = (data: any, context: Context) => any;
export type EventFunctionWithCallback = (data: any, context: Context, callback: (err?: unknown, result?: any) => void) => any;
export type HandlerFunction<T = unknown> =
  | HttpFunction | OpenFunction | EventFunction | EventFunctionWithCallback | CloudEventFunction<T> | CloudEventFunctionWithCallback<T> | TypedFunction;

/** Where a function is served in an application of several. */
export interface Route {
  /** "/hello/{name}" or "/{id:[0-9]+}"; a lone function without one is served everywhere. */
  path?: string;
}
export interface HttpRoute extends Route {
  /** Exact methods; absent means all. */
  methods?: string[];
  /** The function reads the request itself, as a stream of any length: there is no body and rawBody. */
  stream?: boolean;
}
export interface TypedRoute<In> extends Route {
  methods?: string[];
  /** Converts the JSON value, or throws when it is not what the function takes. */
  parse?(value: unknown): In;
}

export function http(name: string, handler: HttpFunction): void;
export function http(name: string, route: HttpRoute | string, handler: HttpFunction): void;
export function cloudEvent<T = unknown>(name: string, handler: CloudEventFunction<T> | CloudEventFunctionWithCallback<T>): void;
export function cloudEvent<T = unknown>(name: string, route: Route | string, handler: CloudEventFunction<T> | CloudEventFunctionWithCallback<T>): void;
export function openfunction(name: string, handler: OpenFunction): void;
export function openfunction(name: string, route: HttpRoute | string, handler: OpenFunction): void;
export function typed<In = any, Out = any>(name: string, handler: TypedFunction<In, Out>): void;
export function typed<In = any, Out = any>(name: string, route: TypedRoute<In> | string, handler: TypedFunction<In, Out>): void;

/** Writes lines of JSON to the standard error, with the request they belong to. */
export const logger: Record<'debug' | 'info' | 'warn' | 'error', (message: string, fields?: Record<string, unknown>) => void>;

/** The call that the running code belongs to. */
export function currentCall(): Call | undefined;
