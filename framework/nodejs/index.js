'use strict';

// The interface to functions. Everything else of this package is loaded by the program that serves them.
const {http, cloudEvent, openfunction, typed} = require('./src/registry');
const {CloudEvent} = require('./src/cloudevent');
const {HttpError} = require('./src/failure');
const {Plugin} = require('./src/plugin');
const {logger, currentCall} = require('./src/log');
const {OpenFunctionRuntime, ContextUtils, RuntimeType, ComponentType, TraceProviderType} = require('./src/context');

module.exports = {
  http,
  cloudEvent,
  openfunction,
  typed,
  CloudEvent,
  HttpError,
  Plugin,
  logger,
  currentCall,
  OpenFunctionRuntime,
  ContextUtils,
  RuntimeType,
  ComponentType,
  TraceProviderType,
};
