'use strict';

const {Plugin} = require('@openfunction/functions-framework');

// Tells how long every call took.
exports.Clock = class Clock extends Plugin {
  constructor() {
    super('clock', 'v1');
  }

  async execPreHook(ctx) {
    ctx.locals.began = process.hrtime.bigint();
  }

  async execPostHook(ctx) {
    console.log(`took ${Number(process.hrtime.bigint() - ctx.locals.began) / 1e6} ms`);
  }
};
