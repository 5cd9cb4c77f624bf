import {Server} from 'node:http';
import {HandlerFunction} from './index';

/** The handler that was registered by that name. */
export function getFunction(name: string): HandlerFunction | undefined;

/** A server of a registered function that does not listen yet. */
export function getTestServer(name: string): Server;
