'use strict';

// One handler for requests and messages, which sends what it makes to every output of the function.
exports.shout = async (ctx, data) => {
  const loud = String(Buffer.isBuffer(data) ? data : typeof data === 'object' ? JSON.stringify(data) : data).toUpperCase();
  await ctx.send(loud);
  return loud;
};
